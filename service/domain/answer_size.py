"""Keeps a list within the size that an answer may have."""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from service.runtime.chunks import chunks

# What a list member costs on the wire beside its bytes: a tag, a length of up to two bytes, a reason.
_MEMBER_OVERHEAD = 4
# What the fields of an answer that are no lists take at most: ids, a message, a page token of one longest identifier.
FIELDS_BYTES = 4096

FIRST_READ = 1_000
_READ = 20_000


@dataclass(frozen=True, slots=True)
class Fitted:
    """The beginning of a list that fits into an answer, and whether it is the whole list."""

    identifiers: list[str]
    complete: bool


def size_of(identifiers: Iterable[str], overhead: int = _MEMBER_OVERHEAD) -> int:
    """Returns how many bytes a list takes in an answer, or a little more."""
    listed = list(identifiers)
    size = len(listed) * overhead
    for chunk in chunks(listed):
        size += len("".join(chunk).encode())
    return size


def struct_size(json_text: str) -> int:
    """Returns how many bytes a JSON object takes at most as a Struct, where a digit and a comma become 11 bytes."""
    return 6 * len(json_text.encode())


def fit(
    read: Callable[[str, int], list[str]],
    *,
    max_bytes: int,
    taken: int,
    without: AbstractSet[str] = frozenset(),
) -> Fitted:
    """Reads a list in parts, until the answer is full or the list ends.

    Args:
        read: returns the members after one, up to a number of them, in order.
        max_bytes: how long the whole answer may be.
        taken: how many bytes the answer's other lists take.
        without: members to leave out.
    """
    bytes_left = max_bytes - taken - FIELDS_BYTES
    fitted: list[str] = []
    after, limit = "", FIRST_READ
    while True:
        chunk = read(after, limit)
        kept = [identifier for identifier in chunk if identifier not in without] if without else chunk
        size = size_of(kept)
        if kept and size > bytes_left:
            while kept and size > bytes_left:
                size -= len(kept.pop().encode()) + _MEMBER_OVERHEAD
            return Fitted(fitted + kept, complete=False)
        bytes_left -= size
        fitted += kept
        if len(chunk) < limit:
            return Fitted(fitted, complete=True)
        after, limit = chunk[-1], _READ
