"""Where a page ends: at its number of members or at its bytes, and what happens between the parts that are read."""

from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.answer_size import FIELDS_BYTES
from service.domain.pages import MAX_PAGE_SIZE, PageLimits, read_page


def read(total: int, limits: PageLimits, at_once: int = 200) -> tuple[list[int], bool]:
    """Reads a page of the numbers from 1 on, each of which takes ten bytes."""
    return read_page(
        lambda after, limit: list(range(after + 1, min(after + limit, total) + 1)),
        0,
        limits,
        key=lambda number: number,
        size=lambda _: 10,
        at_once=at_once,
    )


@settings(deadline=None, derandomize=True, database=None)
@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 600), st.integers(1, 25))
def test_a_page_is_the_longest_beginning_within_its_limits(total: int, size: int, room: int, at_once: int) -> None:
    page, more = read(total, PageLimits(size, FIELDS_BYTES + room), at_once)
    count = min(total, size, max(1, room // 10))
    assert page == list(range(1, count + 1))
    assert more == (count < total)


def test_no_page_has_more_members_than_the_most() -> None:
    page, more = read(MAX_PAGE_SIZE + 1, PageLimits(MAX_PAGE_SIZE + 1))
    assert (len(page), more) == (MAX_PAGE_SIZE, True)


def test_there_is_a_pause_between_two_parts_and_none_where_one_is_enough() -> None:
    pauses: list[None] = []
    limits = PageLimits(pause=lambda: pauses.append(None))
    for total, expected in ((200, 1), (199, 0), (500, 2), (0, 0)):
        pauses.clear()
        read(total, limits)
        assert len(pauses) == expected
