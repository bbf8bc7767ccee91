"""Which moment an answer shows."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.as_of import MAX_AHEAD, as_of
from service.domain.errors import HistoryPruned, InvalidFields

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def test_the_past_is_shown_as_it_was_asked_for() -> None:
    for at in (datetime.min.replace(tzinfo=UTC), NOW - MICROSECOND, NOW):
        assert as_of(at, NOW, None) == at


def test_now_is_shown_for_no_moment_and_for_one_that_is_a_little_ahead() -> None:
    for at in (None, NOW + MICROSECOND, NOW + MAX_AHEAD):
        assert as_of(at, NOW, None) == NOW


def test_a_moment_that_is_further_ahead_is_refused() -> None:
    for at in (NOW + MAX_AHEAD + MICROSECOND, datetime.max.replace(tzinfo=UTC)):
        with pytest.raises(InvalidFields, match="at: must not be more than 60 seconds ahead of the database's clock"):
            as_of(at, NOW, None)


def test_a_moment_before_the_kept_history_is_refused() -> None:
    kept_since = NOW - timedelta(days=1)
    for at in (kept_since, NOW, None):
        assert as_of(at, NOW, kept_since) == (at or NOW)
    with pytest.raises(HistoryPruned, match=r"before 2026-01-30T12:00:00\+00:00 has been removed; ask about a later"):
        as_of(kept_since - MICROSECOND, NOW, kept_since)
