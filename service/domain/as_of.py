"""Which instant an answer shows."""

from datetime import datetime, timedelta

from service.domain.errors import HistoryPruned, InvalidFields, Violation

# How far apart the clocks of a caller and of the database may be.
MAX_AHEAD = timedelta(seconds=60)


def as_of(at: datetime | None, now: datetime, kept_since: datetime | None) -> datetime:
    """Returns the requested instant, or now if there is none or if it is a little ahead.

    Args:
        at: the requested instant.
        now: the time on the database's clock when the answer was read.
        kept_since: the time from which on the history is kept; None if all of it is.

    Raises:
        InvalidFields: it is more than `MAX_AHEAD` ahead.
        HistoryPruned: it lies before the kept history.
    """
    if at is None:
        return now
    if at > now + MAX_AHEAD:
        seconds = int(MAX_AHEAD.total_seconds())
        raise InvalidFields([Violation("at", f"must not be more than {seconds} seconds ahead of the database's clock")])
    if kept_since is not None and at < kept_since:
        raise HistoryPruned(kept_since)
    return min(at, now)
