"""Ids of our own making: new ones each time, in the order of their making, of a fixed and harmless shape."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.domain.ids import new_id


def test_ids_made_at_once_by_many_are_all_different() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(new_id, ["op"] * 20_000))
    assert len(set(made)) == 20_000


def test_an_id_made_later_sorts_later() -> None:
    made = []
    for _ in range(20):
        made.append(new_id("op"))
        time.sleep(0.002)
    assert made == sorted(made)


@pytest.mark.parametrize("nanoseconds", [0, 1_700_000_000_000_000_000, (2**48 - 1) * 1_000_000])
def test_an_id_is_its_prefix_and_20_digits_at_any_time(monkeypatch: pytest.MonkeyPatch, nanoseconds: int) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: nanoseconds)
    assert re.fullmatch(r"cust_[0-9a-hjkmnp-tv-z]{20}", new_id("cust"))
