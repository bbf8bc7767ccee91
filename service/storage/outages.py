"""Logs when the database is lost and when it is back, or when it stops taking writes: one line for each change."""

import time
from collections.abc import Callable

from service.runtime import log
from service.runtime.redaction import redact
from service.storage.probe import Found


class Outages:
    """The outages of a database.

    Args:
        place: where the database is, for the log.
        clock: returns the time in seconds.
    """

    def __init__(self, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._clock = clock
        self._lost_at: float | None = None
        self._read_only_at: float | None = None

    def note(self, found: Found) -> None:
        """Logs what has changed since the last state of the database."""
        now = self._clock()
        if not found.reads:
            if self._lost_at is None:
                self._lost_at = now
                log.error("database lost", database=self._place, cause=redact(found.cause))
            return
        if self._lost_at is not None:
            log.info("database back", database=self._place, seconds=round(now - self._lost_at, 1))
            self._lost_at = None
        if not found.writes and self._read_only_at is None:
            self._read_only_at = now
            log.error("database takes no writes", database=self._place)
        elif found.writes and self._read_only_at is not None:
            log.info("database takes writes again", database=self._place, seconds=round(now - self._read_only_at, 1))
            self._read_only_at = None
