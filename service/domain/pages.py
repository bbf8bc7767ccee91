"""Pages of a listing: how many members one has, and how many bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from service.domain.answer_size import FIELDS_BYTES

DEFAULT_PAGE_SIZE = 1_000
MAX_PAGE_SIZE = 10_000

_READ_AT_ONCE = 200

T = TypeVar("T")
K = TypeVar("K")


def _no_pause() -> None:
    """Does nothing between two parts of a page."""


@dataclass(frozen=True, slots=True)
class PageLimits:
    """Where a page ends.

    Attributes:
        page_size: how many members the caller asks for.
        max_answer_bytes: the longest answer.
        pause: is called between two parts of a page that is read in parts, which takes long.
    """

    page_size: int = DEFAULT_PAGE_SIZE
    max_answer_bytes: int = 4 * 1024 * 1024
    pause: Callable[[], None] = _no_pause

    @property
    def members(self) -> int:
        """How many members the page has at most."""
        return min(self.page_size, MAX_PAGE_SIZE)

    @property
    def bytes(self) -> int:
        """How many bytes the members may take in the answer."""
        return self.max_answer_bytes - FIELDS_BYTES


def read_page(
    read: Callable[[K, int], list[T]],
    start: K,
    limits: PageLimits,
    *,
    key: Callable[[T], K],
    size: Callable[[T], int],
    at_once: int = _READ_AT_ONCE,
) -> tuple[list[T], bool]:
    """Reads records in parts, until the page is full. A page has at least one record, however long it is.

    Args:
        read: returns the records after a key, up to a number of them.
        start: the key to begin after.
        limits: where the page ends.
        key: returns a record's key.
        size: returns how many bytes a record takes in an answer at most.
        at_once: how many records to read at once.

    Returns:
        The records, and whether there are more.
    """
    page: list[T] = []
    bytes_left = limits.bytes
    after = start
    while True:
        asked = min(at_once, limits.members - len(page) + 1)
        part = read(after, asked)
        for record in part:
            bytes_left -= size(record)
            if len(page) == limits.members or (bytes_left < 0 and page):
                return page, True
            page.append(record)
        if len(part) < asked:
            return page, False
        after = key(page[-1])
        limits.pause()
