"""Divides long lists into chunks, so that no single step keeps the interpreter lock from other calls for long."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from service.runtime import fairness

SIZE = 1_000

T = TypeVar("T")


def chunks(listed: Sequence[T]) -> Iterable[Sequence[T]]:
    """Divides a list into chunks of at most SIZE members, in their order. A short list is one chunk."""
    if len(listed) <= SIZE:
        return (listed,)
    fairness.lengthen()
    return _divided(listed)


def weighed(listed: Iterable[T], weight: Callable[[T], int]) -> Iterator[T]:
    """Iterates over a list of lists, and lets short calls run after SIZE of the inner members.

    Args:
        listed: the outer list.
        weight: returns how many inner members a member has.
    """
    weighed = 0
    for member in listed:
        yield member
        weighed += weight(member)
        if weighed > SIZE:
            weighed = 0
            fairness.lengthen()
            fairness.give_way()


def _divided(listed: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(listed), SIZE):
        yield listed[first : first + SIZE]
        fairness.give_way()
