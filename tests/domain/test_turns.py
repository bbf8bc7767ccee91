"""Turns: short while there is a long call, and a long call gives way to others."""

import sys
import time
from collections.abc import Iterator
from contextvars import Context, copy_context

import pytest

from service.domain import turns
from service.domain.parts import SIZE, parts

LONG = ["d"] * (SIZE + 1)
USUAL = 0.005


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Begins and ends with the usual turns, whatever the tests before did to them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(USUAL)
    yield
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    sys.setswitchinterval(before)


def call() -> Context:
    """Begins a call in a context of its own."""
    context = copy_context()
    context.run(turns.begin)
    return context


def took(context: Context) -> float:
    """Tells how long a call takes to go through a long list."""
    started = time.monotonic()
    context.run(lambda: list(parts(LONG)))
    return time.monotonic() - started


def test_turns_are_short_from_a_long_list_to_the_end_of_the_last_call_that_had_one() -> None:
    small, first, second = call(), call(), call()
    small.run(lambda: list(parts(LONG[:SIZE])))
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    for long in (first, second, first):
        long.run(lambda: list(parts(LONG)))
        assert sys.getswitchinterval() < USUAL / 2
    first.run(turns.end)
    assert sys.getswitchinterval() < USUAL / 2
    second.run(turns.end)
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    small.run(turns.end)


def test_a_long_call_gives_way_between_parts_while_there_are_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_AWAY_SECONDS", 0.4)
    long, other = call(), call()
    assert took(long) >= 0.8
    other.run(lambda: list(parts(LONG)))  # it is long itself now
    assert took(long) < 0.4
    other.run(turns.end)
    assert took(long) < 0.4
    long.run(turns.end)


def test_nobody_gives_way_where_there_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_AWAY_SECONDS", 0.4)
    other = call()
    assert took(copy_context()) < 0.4
    assert sys.getswitchinterval() == pytest.approx(USUAL)
    other.run(turns.end)


@pytest.mark.parametrize("length", [0, 1, SIZE, SIZE + 1, 3 * SIZE])
def test_parts_are_the_list_in_its_order_and_none_is_longer_than_may_be(length: int) -> None:
    listed = list(range(length))
    divided = list(parts(listed))
    assert [number for part in divided for number in part] == listed
    assert all(len(part) <= SIZE for part in divided)
