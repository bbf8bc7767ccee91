"""Long lists in parts, so that no single step keeps the interpreter from the threads of other calls for long."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from service.domain import turns

SIZE = 1_000

T = TypeVar("T")


def parts(listed: Sequence[T]) -> Iterable[Sequence[T]]:
    """Cuts a list into parts of at most SIZE members, in their order. A short one is a part itself."""
    if len(listed) <= SIZE:
        return (listed,)
    turns.lengthen()
    return _divided(listed)


def _divided(listed: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(listed), SIZE):
        yield listed[first : first + SIZE]
        turns.give_way()
