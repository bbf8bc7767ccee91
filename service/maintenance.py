"""Periodic tasks of a server, beside its calls."""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from service.domain.errors import DatabaseUnavailable, ServiceError
from service.runtime import log
from service.storage import housekeeping, statistics
from service.storage.database import Database
from service.storage.keys import Keys

_KEYS_SECONDS = 10.0
_STATISTICS_SECONDS = 5.0
_REPLIES_SECONDS = 600.0
# A database that hangs must not keep the process from ending.
_END_SECONDS = 5.0


class Maintenance:
    """Writes when keys were last used, renews the database's statistics, and deletes old request ids.

    Args:
        database: the database.
        keys: the keys in it.
        take_used: returns when each key was last used, for those used since the previous call.
        request_id_hours: how long request ids are kept.
    """

    def __init__(
        self, database: Database, keys: Keys, take_used: Callable[[], dict[str, datetime]], request_id_hours: float
    ) -> None:
        self._database = database
        self._keys = keys
        self._take_used = take_used
        self._request_id_hours = request_id_hours
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread, which writes the last use of keys if the database answers in time."""
        self._stopping.set()
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        tasks: list[tuple[float, Callable[[], None]]] = [
            (_KEYS_SECONDS, self._write_used_keys),
            (_STATISTICS_SECONDS, self._renew_statistics),
            (_REPLIES_SECONDS, self._delete_replies),
        ]
        due = [time.monotonic() + seconds for seconds, _ in tasks]
        while not self._stopping.wait(max(0.0, min(due) - time.monotonic())):
            for index, (seconds, task) in enumerate(tasks):
                if time.monotonic() >= due[index]:
                    self._try(task)
                    due[index] = time.monotonic() + seconds
        self._try(self._write_used_keys)

    def _try(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Exception:  # noqa: BLE001  # whatever it is, the other tasks go on, and this one is tried again
            log.exception("maintenance failed", task=task.__name__)

    def _write_used_keys(self) -> None:
        try:
            self._keys.used(self._take_used())
        except ServiceError as error:
            _warn("last use of keys not written", error)

    def _renew_statistics(self) -> None:
        try:
            tables = statistics.renew(self._database)
        except ServiceError as error:
            _warn("statistics not renewed", error)
        else:
            if tables:
                log.info("statistics renewed", tables=tables)

    def _delete_replies(self) -> None:
        try:
            count = housekeeping.forget_replies(self._database, timedelta(hours=self._request_id_hours))
        except ServiceError as error:
            _warn("old request ids not deleted", error)
        else:
            if count:
                log.info("old request ids deleted", count=count)


def _warn(event: str, error: ServiceError) -> None:
    """Warns of a task that has failed, unless the database is away, which `Outages` logs once."""
    if not isinstance(error, DatabaseUnavailable):
        log.warning(event, reason=error.reason)
