"""SQLite: one writer at a time, the host's clock, and no statement that modifies two tables."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.pool import QueuePool

from service.domain.errors import Conflict
from service.domain.interruption import Interruption
from service.storage.dialects import ChangeSet, Failure

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

_LOG_ENDS = """
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT organization_id, customer_id, :revision, device_identifier, 2, assigned_revision
FROM assignment
WHERE organization_id = :organization_id AND customer_id = :customer_id
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
"""

_DELETE_ENDED = """
DELETE FROM assignment
WHERE organization_id = :organization_id AND customer_id = :customer_id
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
RETURNING device_identifier
"""

_INSERT_BEGUN = """
INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
SELECT :organization_id, :customer_id, value, :revision FROM json_each(:identifiers) WHERE true
ON CONFLICT DO NOTHING
RETURNING device_identifier
"""

_LOG_BEGINNINGS = """
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT :organization_id, :customer_id, :revision, value, 1, :revision FROM json_each(:identifiers)
"""

_LOG_ALL_ENDS = """
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT organization_id, customer_id, :revision, device_identifier, 2, assigned_revision
FROM assignment WHERE organization_id = :organization_id AND customer_id = :customer_id
"""

_DELETE_ALL = """
DELETE FROM assignment WHERE organization_id = :organization_id AND customer_id = :customer_id
"""

_CREATE_DEVICE = """
INSERT INTO device (organization_id, identifier, id, type, created_at)
VALUES (:organization_id, :identifier, :id, :type, clock_timestamp())
ON CONFLICT DO NOTHING
"""

_MOMENT = """
SELECT max(clock_timestamp(), coalesce(max(changed_at), 0) + 1) FROM customer
WHERE organization_id = :organization_id AND id IN (SELECT key FROM json_each(:deltas))
"""

_INSERT_OPERATION = """
INSERT INTO operation
  (organization_id, id, kind, occurred_at, key_id, note, assigned_count, unassigned_count, reverts_operation_id)
VALUES
  (:organization_id, :id, :kind, :occurred_at, :key_id, :note, :assigned_count, :unassigned_count,
   :reverts_operation_id)
"""

_MOVE_CUSTOMERS = """
UPDATE customer SET revision = revision + 1, changed_at = :occurred_at, device_count = device_count + :delta
WHERE organization_id = :organization_id AND id = :customer_id
"""

_INSERT_REVISIONS = """
INSERT INTO customer_revision
  (organization_id, customer_id, revision, operation_id, occurred_at, device_count)
SELECT organization_id, id, revision, :id, :occurred_at, device_count FROM customer
WHERE organization_id = :organization_id AND id IN (SELECT key FROM json_each(:deltas))
"""


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

    def failure(self, error: Exception) -> Failure:
        """Goes by SQLite's primary result code."""
        code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return Failure.BUSY
        if code == sqlite3.SQLITE_INTERRUPT:
            return Failure.STOPPED
        return Failure.AWAY if code in _AWAY else Failure.DEFECT

    def end_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Logs first, because the log is read off what the deletion takes away."""
        parameters = {
            "organization_id": change.organization_id,
            "customer_id": change.customer_id,
            "revision": change.revision,
            "identifiers": json.dumps(change.identifiers),
        }
        _execute(connection, _LOG_ENDS, parameters)
        del parameters["revision"]
        return [row[0] for row in _execute(connection, _DELETE_ENDED, parameters)]

    def begin_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Inserts first, and logs what was new."""
        parameters = {
            "organization_id": change.organization_id,
            "customer_id": change.customer_id,
            "revision": change.revision,
        }
        wanted = {**parameters, "identifiers": json.dumps(change.identifiers)}
        begun = [row[0] for row in _execute(connection, _INSERT_BEGUN, wanted)]
        _execute(connection, _LOG_BEGINNINGS, {**parameters, "identifiers": json.dumps(begun)})
        return begun

    def end_all_assignments(self, connection: Connection, organization_id: str, customer_id: str, revision: int) -> int:
        """Logs first, as `end_assignments` does."""
        who = {"organization_id": organization_id, "customer_id": customer_id}
        _execute(connection, _LOG_ALL_ENDS, {**who, "revision": revision})
        return int(_execute(connection, _DELETE_ALL, who).rowcount)

    def create_devices(
        self, connection: Connection, organization_id: str, device_type: str, ids: Mapping[str, str]
    ) -> None:
        """Inserts row by row, which costs SQLite nothing."""
        shared = {"organization_id": organization_id, "type": device_type}
        _execute_all(connection, _CREATE_DEVICE, [{**shared, "identifier": i, "id": ids[i]} for i in sorted(ids)])

    def record_operation(self, connection: Connection, operation: Mapping[str, Any], deltas: Mapping[str, int]) -> None:
        """Reads the clock, then writes table by table."""
        who = {"organization_id": operation["organization_id"], "deltas": json.dumps(deltas)}
        occurred_at = _execute(connection, _MOMENT, who).fetchone()[0]
        _execute(connection, _INSERT_OPERATION, {**operation, "occurred_at": occurred_at})
        shared = {"organization_id": operation["organization_id"], "occurred_at": occurred_at}
        _execute_all(connection, _MOVE_CUSTOMERS, [{**shared, "customer_id": c, "delta": d} for c, d in deltas.items()])
        _execute(connection, _INSERT_REVISIONS, {**who, "occurred_at": occurred_at, "id": operation["id"]})


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


def _execute(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> Any:
    """Runs a statement on the driver itself: here SQLAlchemy's part would take ten times as long as SQLite's."""
    cursor = connection.connection.cursor()
    cursor.execute(statement, parameters)
    return cursor


def _execute_all(connection: Connection, statement: str, parameters: Sequence[Mapping[str, Any]]) -> None:
    connection.connection.cursor().executemany(statement, parameters)
