"""Keeps a list within the size that an answer may have."""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeVar

from service.runtime import fairness
from service.runtime.chunks import parts

# What a list member costs on the wire beside its bytes: a tag, a length of up to two bytes, a reason.
_MEMBER_OVERHEAD = 4
# What the single fields of an answer take at most: ids, a message, a page token of one longest identifier.
FIELDS_BYTES = 4096

FIRST_READ = 1_000
_READ = 20_000
_PART = 200

T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Fitted:
    """The part of a list that fits, and whether that is all of it."""

    identifiers: list[str]
    complete: bool


def size_of(identifiers: Iterable[str], overhead: int = _MEMBER_OVERHEAD) -> int:
    """Gives the bytes that a list takes in an answer, or a little more."""
    listed = list(identifiers)
    size = len(listed) * overhead
    for part in parts(listed):
        size += len("".join(part).encode())
    return size


def struct_size(json_text: str) -> int:
    """Gives the most that a JSON object takes as a `google.protobuf.Struct`: a digit and a comma become 11 bytes."""
    return 6 * len(json_text.encode())


def fit(
    read: Callable[[str, int], list[str]],
    *,
    max_bytes: int,
    taken: int,
    without: AbstractSet[str] = frozenset(),
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
    after, limit = "", FIRST_READ
    while True:
        part = read(after, limit)
        kept = [identifier for identifier in part if identifier not in without] if without else part
        size = size_of(kept)
        if kept and size > room:
            while kept and size > room:
                size -= len(kept.pop().encode()) + _MEMBER_OVERHEAD
            return Fitted(fitted + kept, complete=False)
        room -= size
        fitted += kept
        if len(part) < limit:
            return Fitted(fitted, complete=True)
        after, limit = part[-1], _READ


def page(
    read: Callable[[K, int], list[T]],
    start: K,
    *,
    key: Callable[[T], K],
    size: Callable[[T], int],
    limit: int,
    room: int,
    part_size: int = _PART,
) -> tuple[list[T], bool]:
    """Reads records in parts, up to a number of them, for as long as they fit; the first always does.

    A call that reads more than one part is a long one, because records take longer than the members of a list.

    Args:
        read: gives the records behind a key, up to a number of them.
        start: the key to begin behind.
        key: gives a record's key.
        size: gives the most that a record takes in an answer, in bytes.
        limit: how many records to give.
        room: the bytes that they may take.
        part_size: how many to read at once.

    Returns:
        The records, and whether there are more.
    """
    kept: list[T] = []
    behind = start
    while True:
        asked = min(part_size, limit - len(kept) + 1)
        part = read(behind, asked)
        for record in part:
            room -= size(record)
            if len(kept) == limit or (room < 0 and kept):
                return kept, True
            kept.append(record)
        if len(part) < asked:
            return kept, False
        behind = key(kept[-1])
        fairness.lengthen()
        fairness.give_way()
