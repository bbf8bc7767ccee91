"""SQLite: one writer at a time, the host's clock, and no statement that modifies two tables."""

import json
import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import Engine, PoolProxiedConnection, bindparam, create_engine, event, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import QueuePool

from service.domain.cancellation import Cancellation
from service.domain.errors import DeadlineExceeded
from service.storage.backend import ChangeSet, Failure, View
from service.storage.connection import Connection
from service.storage.location import sqlite_path
from service.storage.statement import Compiled, Statement
from service.storage.types import TextArray

MAX_WAIT_SECONDS = 5.0
"""How long a write waits for another process's."""

_WAL_PAUSE_SECONDS = 0.005

_AWAY = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
}


def _with_identifiers(sql: str) -> Statement:
    return Statement(text(sql).bindparams(bindparam("identifiers", type_=TextArray())))


_LOG_ENDS = _with_identifiers("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT organization_id, customer_id, :revision, device_identifier, 2, assigned_revision
FROM assignment
WHERE organization_id = :organization_id AND customer_id = :customer_id
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
""")

_DELETE_ENDED = _with_identifiers("""
DELETE FROM assignment
WHERE organization_id = :organization_id AND customer_id = :customer_id
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
RETURNING device_identifier
""")

_LOG_ENDS_OF = _with_identifiers("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT organization_id, customer_id,
  (SELECT revision + 1 FROM customer WHERE organization_id = :organization_id AND email_key = :email_key),
  device_identifier, 2, assigned_revision
FROM assignment
WHERE organization_id = :organization_id AND customer_id = (
    SELECT id FROM customer WHERE organization_id = :organization_id AND email_key = :email_key)
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
""")

_DELETE_ENDED_OF = _with_identifiers("""
DELETE FROM assignment
WHERE organization_id = :organization_id AND customer_id = (
    SELECT id FROM customer WHERE organization_id = :organization_id AND email_key = :email_key)
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
RETURNING device_identifier
""")

_INSERT_BEGUN = _with_identifiers("""
INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
SELECT :organization_id, :customer_id, value, :revision FROM json_each(:identifiers) WHERE true
ON CONFLICT (organization_id, customer_id, device_identifier) DO NOTHING
RETURNING device_identifier
""")

_LOG_BEGINNINGS = _with_identifiers("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT :organization_id, :customer_id, :revision, value, 1, :revision FROM json_each(:identifiers)
""")

_INSERT_SHARED = Statement(
    text("""
INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
SELECT :organization_id, key, :identifier, value FROM json_each(:revisions) WHERE true
ON CONFLICT (organization_id, customer_id, device_identifier) DO NOTHING
RETURNING customer_id
""")
)

_LOG_SHARED = Statement(
    text("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT :organization_id, key, value, :identifier, 1, value FROM json_each(:revisions)
""")
)

_LOG_ALL_ENDS = Statement(
    text("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT organization_id, customer_id, :revision, device_identifier, 2, assigned_revision
FROM assignment WHERE organization_id = :organization_id AND customer_id = :customer_id
""")
)

_DELETE_ALL = Statement(
    text("""
DELETE FROM assignment WHERE organization_id = :organization_id AND customer_id = :customer_id
""")
)

_CREATE_DEVICES = Statement(
    text("""
INSERT INTO device (organization_id, identifier, id, type, created_at)
SELECT :organization_id, key, value, :type, clock_timestamp() FROM json_each(:ids) WHERE true
ON CONFLICT (organization_id, identifier) DO NOTHING
""")
)

_MOMENT = Statement(
    text("""
SELECT max(clock_timestamp() + :lead, coalesce(max(changed_at), 0) + 1) FROM customer
WHERE organization_id = :organization_id AND id IN (SELECT key FROM json_each(:deltas))
""")
)

_INSERT_OPERATION = Statement(
    text("""
INSERT INTO operation
  (organization_id, id, kind, occurred_at, key_id, note, assigned_count, unassigned_count, reverts_operation_id)
VALUES
  (:organization_id, :id, :kind, :occurred_at, :key_id, :note, :assigned_count, :unassigned_count,
   :reverts_operation_id)
""")
)

_MOVE_CUSTOMER = Statement(
    text("""
UPDATE customer SET revision = revision + 1, changed_at = :occurred_at, device_count = device_count + :delta
WHERE organization_id = :organization_id AND id = :customer_id
""")
)

_INSERT_REVISIONS = Statement(
    text("""
INSERT INTO customer_revision
  (organization_id, customer_id, revision, operation_id, occurred_at, device_count)
SELECT organization_id, id, revision, :id, :occurred_at, device_count FROM customer
WHERE organization_id = :organization_id AND id IN (SELECT key FROM json_each(:deltas))
""")
)

# Customer by customer, and of each no more than the page needs: an operation may have changed a million devices of one.
_OPERATION_CHANGES = Statement(
    text("""
SELECT made.customer_id, listed.device_identifier, listed.change
FROM (
  SELECT customer_id, revision FROM customer_revision
  WHERE organization_id = :organization_id AND operation_id = :operation_id AND customer_id >= :after_customer
  ORDER BY customer_id LIMIT :limit + 1
) AS made
CROSS JOIN assignment_change AS listed
WHERE listed.organization_id = :organization_id AND listed.customer_id = made.customer_id
  AND listed.revision = made.revision AND listed.device_identifier IN (
    SELECT device_identifier FROM assignment_change
    WHERE organization_id = :organization_id AND customer_id = made.customer_id AND revision = made.revision
      AND device_identifier > CASE made.customer_id WHEN :after_customer THEN :after_device ELSE '' END
    ORDER BY device_identifier LIMIT :limit
  )
ORDER BY made.customer_id, listed.device_identifier LIMIT :limit
""")
)


class SQLite:
    """See `dialects.Backend`."""

    lock_and_unassign = (_LOG_ENDS_OF, _DELETE_ENDED_OF)

    sqlalchemy_dialect: sqlalchemy.Dialect = sqlite.dialect(paramstyle="named")

    def __init__(self) -> None:
        # Threads queue here, in order and asleep. SQLite's own waiting polls, and lets the late overtake the early.
        self._writer = threading.Lock()

    def engine(self, url: str, connections: int) -> Engine:
        """Opens a file that must be there: `db upgrade` makes it, and nothing else does."""
        path = sqlite_path(url)
        engine = create_engine(
            "sqlite://",
            creator=lambda: _connect(path),
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
        )

        @event.listens_for(engine, "begin")
        def _begin(connection: sqlalchemy.Connection) -> None:
            if not connection.get_execution_options().get("begun"):
                connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    @contextmanager
    def _turn(self, cancellation: Cancellation) -> Iterator[None]:
        remaining = cancellation.remaining()
        if not self._writer.acquire(timeout=-1 if remaining is None else remaining):
            raise DeadlineExceeded
        try:
            cancellation.check()
            yield
        finally:
            self._writer.release()

    def writing(self, cancellation: Cancellation) -> AbstractContextManager[None]:
        """Waits for the other threads of this process, no longer than the caller does."""
        return self._turn(cancellation)

    def begin(self, pooled: PoolProxiedConnection, cancellation: Cancellation, view: View) -> None:
        """Bounds the wait for other processes by the caller's deadline."""
        driver = _driver(pooled)
        remaining = cancellation.remaining()
        wait = MAX_WAIT_SECONDS if remaining is None else min(remaining, MAX_WAIT_SECONDS)
        # Rounded up: a wait that ended just before the caller's deadline would be answered as a conflict.
        driver.execute(f"PRAGMA busy_timeout = {math.ceil(wait * 1000)}").close()
        if view is not View.STATEMENT:
            driver.execute("BEGIN IMMEDIATE" if view is View.WRITE else "BEGIN").close()

    def commit(self, pooled: PoolProxiedConnection) -> None:
        """Commits; without a transaction, nothing."""
        _driver(pooled).commit()

    def flush(self, pooled: PoolProxiedConnection) -> None:
        """Does nothing: nothing waits."""

    def rows(
        self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """Fetches at once: a cursor left open would hold up the commit."""
        return _driver(pooled).execute(compiled.sql, bound).fetchall()

    def batch(
        self, pooled: PoolProxiedConnection, statements: Iterable[tuple[Compiled, Mapping[str, Any]]]
    ) -> list[list[tuple[Any, ...]]]:
        """Runs one after the other."""
        return [self.rows(pooled, compiled, bound) for compiled, bound in statements]

    def count(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> int:
        """Goes by the cursor."""
        return _driver(pooled).execute(compiled.sql, bound).rowcount

    def defer(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> None:
        """Runs a statement at once: there is no round trip to save."""
        self.count(pooled, compiled, bound)

    def writable(self, engine: Engine) -> bool:
        """Writes a row and takes it back at once. If another has the write lock, the database takes writes."""
        pooled = engine.raw_connection()
        try:
            driver = _driver(pooled)
            driver.execute("PRAGMA busy_timeout = 0").close()
            driver.execute("BEGIN IMMEDIATE").close()
            # To begin is allowed with a file that is read-only.
            driver.execute("UPDATE alembic_version SET version_num = version_num").close()
        except sqlite3.Error as error:
            return self.failure(error) is Failure.BUSY
        finally:
            pooled.close()  # rolls back
        return True

    def broken(self, pooled: PoolProxiedConnection) -> bool:  # noqa: ARG002  # the interface's
        """Never: there is no network."""
        return False

    def stop(self, pooled: PoolProxiedConnection) -> None:
        """Interrupts the connection."""
        _driver(pooled).interrupt()

    def failure(self, error: Exception) -> Failure:
        """Goes by SQLite's primary result code."""
        code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return Failure.BUSY
        if code == sqlite3.SQLITE_INTERRUPT:
            return Failure.STOPPED
        return Failure.AWAY if code in _AWAY else Failure.DEFECT

    def unconfirmed(self, pooled: PoolProxiedConnection, error: Exception) -> bool:  # noqa: ARG002  # the interface's
        """Where the file could not be written: the next one who opens it may find the whole commit in it or not."""
        return self.failure(error) is Failure.AWAY

    def end_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Logs first, because the log is read off what the deletion takes away."""
        connection.count(_LOG_ENDS, change.parameters)
        return [row[0] for row in connection.rows(_DELETE_ENDED, change.parameters)]

    def begin_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Inserts first, and logs what was new."""
        begun = [row[0] for row in connection.rows(_INSERT_BEGUN, change.parameters)]
        connection.count(_LOG_BEGINNINGS, {**change.parameters, "identifiers": begun})
        return begun

    def share_device(
        self, connection: Connection, organization_id: str, identifier: str, revisions: Mapping[str, int]
    ) -> list[str]:
        """Inserts first, and logs what was new."""
        who = {"organization_id": organization_id, "identifier": identifier}
        rows = connection.rows(_INSERT_SHARED, {**who, "revisions": json.dumps(dict(revisions))})
        begun = {row[0]: revisions[row[0]] for row in rows}
        connection.count(_LOG_SHARED, {**who, "revisions": json.dumps(begun)})
        return list(begun)

    def end_all_assignments(self, connection: Connection, organization_id: str, customer_id: str, revision: int) -> int:
        """Logs first, as `end_assignments` does."""
        who = {"organization_id": organization_id, "customer_id": customer_id}
        connection.count(_LOG_ALL_ENDS, {**who, "revision": revision})
        return connection.count(_DELETE_ALL, who)

    def create_devices(
        self, connection: Connection, organization_id: str, device_type: str, ids: Mapping[str, str]
    ) -> None:
        """Inserts all in one statement."""
        parameters = {"organization_id": organization_id, "type": device_type, "ids": json.dumps(ids)}
        connection.count(_CREATE_DEVICES, parameters)

    def record_operation(
        self, connection: Connection, operation: Mapping[str, Any], deltas: Mapping[str, int], *, lead: timedelta
    ) -> None:
        """Reads the clock, then writes table by table."""
        who = {"organization_id": operation["organization_id"], "deltas": json.dumps(deltas)}
        ((occurred_at,),) = connection.rows(_MOMENT, {**who, "lead": lead // timedelta(microseconds=1)})
        connection.count(_INSERT_OPERATION, {**operation, "occurred_at": occurred_at})
        shared = {"organization_id": operation["organization_id"], "occurred_at": occurred_at}
        for customer_id, delta in deltas.items():
            connection.count(_MOVE_CUSTOMER, {**shared, "customer_id": customer_id, "delta": delta})
        connection.count(_INSERT_REVISIONS, {**who, "occurred_at": occurred_at, "id": operation["id"]})

    def operation_changes(self, connection: Connection, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Looks up each customer's part, because there is no joining sideways."""
        return connection.rows(_OPERATION_CHANGES, parameters)


def make_file(path: str) -> None:
    """Makes an empty file that only its owner can read, and leaves one that is there as it is.

    SQLite makes the files beside it, the log of writes for example, with the same permissions.

    Raises:
        OSError: it cannot be made.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    try:
        # The umask may have taken the owner's own permissions.
        os.fchmod(file, 0o600)
    finally:
        os.close(file)


def _connect(path: str) -> sqlite3.Connection:
    # Transactions are begun by hand (`isolation_level=None`): the module would begin them late and not for reads.
    connection = sqlite3.connect(
        _uri(path),
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=MAX_WAIT_SECONDS,
    )
    connection.create_function("clock_timestamp", 0, lambda: time.time_ns() // 1000)
    # In WAL mode readers and the writer do not wait for each other. FULL syncs at every commit: what was acknowledged
    # survives a loss of power too.
    _use_wal(connection)
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def _uri(path: str) -> str:
    """Writes a path, whatever its characters are, as the URI by which SQLite opens a file that must be there."""
    # Behind two slashes stands a host's name, which is empty.
    return f"file:{'//' if path.startswith('/') else ''}{quote(os.fsencode(path))}?mode=rw"


def _use_wal(connection: sqlite3.Connection) -> None:
    """Puts a file into WAL mode, where it stays, or waits until somebody else has.

    Of several that open a new file at once SQLite lets one, and refuses the others without its usual waiting.
    """
    end = time.monotonic() + MAX_WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                connection.close()
                raise
            time.sleep(_WAL_PAUSE_SECONDS)
        else:
            return


def _driver(pooled: PoolProxiedConnection) -> sqlite3.Connection:
    driver: Any = pooled.driver_connection
    found: sqlite3.Connection = driver
    return found
