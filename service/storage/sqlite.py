"""SQLite: one writer at a time, the host's clock, and no statement that modifies two tables."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from service.domain.errors import Conflict
from service.domain.interruption import Interruption
from service.storage.dialects import Ending, Failure

MAX_WAIT_SECONDS = 5.0
"""How long a write waits for another process's."""

_AWAY = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
}

_LOG_ENDS = text("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT organization_id, customer_id, :revision, device_identifier, 2, assigned_revision
FROM assignment
WHERE organization_id = :organization_id AND customer_id = :customer_id
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
""")

_DELETE_ENDED = text("""
DELETE FROM assignment
WHERE organization_id = :organization_id AND customer_id = :customer_id
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
RETURNING device_identifier
""")

_MOMENT = text("""
SELECT max(clock_timestamp(), coalesce(max(changed_at), 0) + 1) FROM customer
WHERE organization_id = :organization_id AND id IN (SELECT key FROM json_each(:deltas))
""")

_INSERT_OPERATION = text("""
INSERT INTO operation (organization_id, id, kind, occurred_at, key_id, note, assigned_count, unassigned_count)
VALUES (:organization_id, :id, :kind, :occurred_at, :key_id, :note, :assigned_count, :unassigned_count)
""")

_MOVE_CUSTOMERS = text("""
UPDATE customer SET revision = revision + 1, changed_at = :occurred_at, device_count = device_count + :delta
WHERE organization_id = :organization_id AND id = :customer_id
""")

_INSERT_REVISIONS = text("""
INSERT INTO customer_revision
  (organization_id, customer_id, revision, operation_id, occurred_at, device_count)
SELECT organization_id, id, revision, :id, :occurred_at, device_count FROM customer
WHERE organization_id = :organization_id AND id IN (SELECT key FROM json_each(:deltas))
""")


class SQLite:
    """See `dialects.Dialect`."""

    def __init__(self) -> None:
        # Threads queue here, in order and asleep. SQLite's own waiting polls, and lets the late overtake the early.
        self._writer = threading.Lock()

    def engine(self, url: str, connections: int) -> Engine:
        """Opens a file that must be there: `db upgrade` makes it, and nothing else does."""
        path = make_url(url).database or ""
        engine = create_engine(
            "sqlite://",
            creator=lambda: _connect(path),
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
        )

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            immediate = connection.get_execution_options().get("writes", True)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

        return engine

    @contextmanager
    def _turn(self, interruption: Interruption) -> Iterator[None]:
        remaining = interruption.remaining()
        if not self._writer.acquire(timeout=-1 if remaining is None else remaining):
            interruption.check()
            raise Conflict
        try:
            interruption.check()
            yield
        finally:
            self._writer.release()

    def writing(self, interruption: Interruption) -> AbstractContextManager[None]:
        """Waits for the other threads of this process, no longer than the caller does."""
        return self._turn(interruption)

    def prepare(self, connection: Connection, interruption: Interruption, *, write: bool) -> Connection:
        """Bounds the wait for other processes by the caller's deadline."""
        remaining = interruption.remaining()
        wait = MAX_WAIT_SECONDS if remaining is None else min(remaining, MAX_WAIT_SECONDS)
        driver = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            driver.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}").close()
        return connection.execution_options(writes=write)

    def stop(self, connection: Connection) -> None:
        """Interrupts the connection."""
        driver = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            driver.interrupt()

    def failure(self, error: DBAPIError) -> Failure:
        """Goes by SQLite's primary result code."""
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return Failure.BUSY
        if code == sqlite3.SQLITE_INTERRUPT:
            return Failure.STOPPED
        return Failure.AWAY if code in _AWAY else Failure.DEFECT

    def end_assignments(self, connection: Connection, ending: Ending) -> list[str]:
        """Logs first, because the log is read off what the deletion takes away."""
        parameters = {
            "organization_id": ending.organization_id,
            "customer_id": ending.customer_id,
            "revision": ending.revision,
            "identifiers": json.dumps(ending.identifiers),
        }
        connection.execute(_LOG_ENDS, parameters)
        del parameters["revision"]
        return list(connection.execute(_DELETE_ENDED, parameters).scalars())

    def record_operation(self, connection: Connection, operation: Mapping[str, Any], deltas: Mapping[str, int]) -> None:
        """Reads the clock, then writes table by table."""
        who = {"organization_id": operation["organization_id"], "deltas": json.dumps(deltas)}
        occurred_at = connection.execute(_MOMENT, who).scalar_one()
        connection.execute(_INSERT_OPERATION, {**operation, "occurred_at": occurred_at})
        shared = {"organization_id": operation["organization_id"], "occurred_at": occurred_at}
        connection.execute(_MOVE_CUSTOMERS, [{**shared, "customer_id": c, "delta": d} for c, d in deltas.items()])
        connection.execute(_INSERT_REVISIONS, {**who, "occurred_at": occurred_at, "id": operation["id"]})


def _connect(path: str) -> sqlite3.Connection:
    # Transactions are begun by hand (`isolation_level=None`): the module would begin them late and not for reads.
    connection = sqlite3.connect(
        f"file:{path}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=MAX_WAIT_SECONDS,
    )
    connection.create_function("clock_timestamp", 0, lambda: time.time_ns() // 1000)
    # In WAL mode readers and the writer do not wait for each other. FULL syncs at every commit: what was acknowledged
    # survives a loss of power too.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection
