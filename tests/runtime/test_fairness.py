"""Turns: short while there is a long call, and a long call gives way to others."""

import sys
from collections.abc import Iterator
from contextvars import Context, copy_context

import pytest

from service.runtime import fairness
from service.runtime.chunks import SIZE, chunks, weighed

LONG = ["d"] * (SIZE + 1)
USUAL = 0.005


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Begins and ends with the usual fairness, whatever the tests before did to them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(USUAL)
    yield
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    sys.setswitchinterval(before)


def call() -> Context:
    """Begins a call in a context of its own."""
    context = copy_context()
    context.run(fairness.begin)
    return context


class Clock:
    """Stands in for the module `time`, and counts how often a call gives way."""

    def __init__(self) -> None:
        self._sleeps = 0
        self.seconds: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Returns way."""
        self._sleeps += 1
        self.seconds.append(seconds)

    def sleeps(self, context: Context) -> int:
        """Has a call go through a long list, and returns how often it gives way."""
        before = self._sleeps
        context.run(lambda: list(chunks(LONG)))
        return self._sleeps - before


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Counts instead of sleeping: how long a sleep takes depends on what else the machine does."""
    clock = Clock()
    monkeypatch.setattr(fairness, "time", clock)
    return clock


def test_turns_are_short_from_a_long_list_to_the_end_of_the_last_call_that_had_one() -> None:
    small, first, second = call(), call(), call()
    small.run(lambda: list(chunks(LONG[:SIZE])))
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    for long in (first, second, first):
        long.run(lambda: list(chunks(LONG)))
        assert sys.getswitchinterval() < USUAL / 2
    first.run(fairness.end)
    assert sys.getswitchinterval() < USUAL / 2
    second.run(fairness.end)
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    small.run(fairness.end)


def test_a_long_call_gives_way_between_parts_while_there_are_short_ones(clock: Clock) -> None:
    long, other = call(), call()
    assert clock.sleeps(long) == 2
    assert clock.sleeps(other) == 0  # it is long itself now
    assert clock.sleeps(long) == 0
    other.run(fairness.end)
    assert clock.sleeps(long) == 0
    long.run(fairness.end)


def test_long_calls_give_way_for_longer_the_more_there_are(clock: Clock) -> None:
    short, first, second = call(), call(), call()
    first.run(lambda: list(chunks(LONG)))
    alone = clock.seconds[-1]
    second.run(lambda: list(chunks(LONG)))
    assert clock.seconds[-1] == 2 * alone
    for each in (short, first, second):
        each.run(fairness.end)


def test_a_call_gives_way_after_many_members_of_the_lists_of_a_list_s_members(clock: Clock) -> None:
    short, long = call(), call()
    lists = [["d"] * (SIZE // 4)] * 8
    assert long.run(lambda: list(weighed(lists[:4], len))) == lists[:4]
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    assert long.run(lambda: list(weighed(lists + lists, len))) == lists + lists
    assert len(clock.seconds) == 3
    for each in (short, long):
        each.run(fairness.end)


def test_a_stream_that_catches_up_gives_way_and_leaves_turns_as_they_are(clock: Clock) -> None:
    stream, short = copy_context(), call()
    stream.run(fairness.give_way)
    assert not clock.seconds
    stream.run(fairness.catch_up)
    stream.run(fairness.give_way)
    assert len(clock.seconds) == 1
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    stream.run(fairness.end)
    stream.run(fairness.give_way)
    assert len(clock.seconds) == 1
    short.run(fairness.end)


def test_a_call_begins_once(clock: Clock) -> None:
    long, short = call(), call()
    long.run(fairness.begin)
    long.run(fairness.end)
    assert clock.sleeps(short) == 0  # it is long itself, and there is no other
    short.run(fairness.end)


def test_nobody_gives_way_where_there_is_no_call(clock: Clock) -> None:
    other = call()
    assert clock.sleeps(copy_context()) == 0
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    other.run(fairness.end)


@pytest.mark.parametrize("length", [0, 1, SIZE, SIZE + 1, 3 * SIZE])
def test_parts_are_the_list_in_its_order_and_none_is_longer_than_may_be(length: int) -> None:
    listed = list(range(length))
    divided = list(chunks(listed))
    assert [number for part in divided for number in part] == listed
    assert all(len(part) <= SIZE for part in divided)
