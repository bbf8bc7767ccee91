"""Long lists in parts, so that no single step keeps the interpreter from the threads of other calls for long."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

SIZE = 1_000

T = TypeVar("T")


def parts(listed: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cuts a list into parts of at most SIZE members, in their order."""
    for first in range(0, len(listed), SIZE):
        yield listed[first : first + SIZE]
