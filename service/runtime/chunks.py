"""Long lists in parts, so that no single step keeps the interpreter from the threads of other calls for long."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from service.runtime import fairness

SIZE = 1_000

T = TypeVar("T")


def parts(listed: Sequence[T]) -> Iterable[Sequence[T]]:
    """Cuts a list into parts of at most SIZE members, in their order. A short one is a part itself."""
    if len(listed) <= SIZE:
        return (listed,)
    fairness.lengthen()
    return _divided(listed)


def weighed(listed: Iterable[T], weight: Callable[[T], int]) -> Iterator[T]:
    """Goes through a list whose members have lists of their own, and gives way after SIZE of the inner members.

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
