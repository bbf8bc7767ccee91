"""Keeps a list within the size that an answer may have."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

# What a list member costs on the wire beside its bytes: a tag, a length of up to two bytes, a reason.
_MEMBER_OVERHEAD = 4
# What the single fields of an answer take at most: ids, a message, a page token of one longest identifier.
FIELDS_BYTES = 4096

_FIRST_READ = 1_000
_READ = 20_000


@dataclass(frozen=True, slots=True)
class Fitted:
    """The part of a list that fits, and whether that is all of it."""

    identifiers: list[str]
    complete: bool


def size_of(identifiers: Iterable[str], overhead: int = _MEMBER_OVERHEAD) -> int:
    """Gives the bytes that a list takes in an answer, or a little more."""
    total = members = 0
    for members, identifier in enumerate(identifiers, 1):  # noqa: B007  # members is read after the loop
        total += len(identifier.encode())
    return total + members * overhead


def fit(
    read: Callable[[str, int], list[str]],
    *,
    max_bytes: int,
    taken: int,
    without: frozenset[str] = frozenset(),
) -> Fitted:
    """Reads a list in parts, for as long as it fits.

    Args:
        read: gives the members after one, up to a number of them, in order.
        max_bytes: what the whole answer may have.
        taken: what the rest of the answer's lists take of it.
        without: members to leave out.
    """
    room = max_bytes - taken - FIELDS_BYTES
    fitted: list[str] = []
    after, limit = "", _FIRST_READ
    while True:
        part = read(after, limit)
        kept = [identifier for identifier in part if identifier not in without] if without else part
        size = size_of(kept)
        if kept and size > room:
            while kept and size > room:
                size -= size_of([kept.pop()])
            return Fitted(fitted + kept, complete=False)
        room -= size
        fitted += kept
        if len(part) < limit:
            return Fitted(fitted, complete=True)
        after, limit = part[-1], _READ
