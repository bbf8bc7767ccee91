"""SQLite: one writer at a time, the host's clock, and no statement that writes two tables."""

import math
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, PoolProxiedConnection, UniqueConstraint, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import QueuePool

from service.domain.cancellation import Cancellation
from service.domain.errors import DeadlineExceeded
from service.storage.backend import Failure, Mode, View
from service.storage.database_url import first_line
from service.storage.sqlite import errors
from service.storage.sqlite import url as urls
from service.storage.sqlite.administration import Administration
from service.storage.sqlite.assignments import AssignmentStatements
from service.storage.sqlite.connect import connect, read_only
from service.storage.sqlite.operations import OperationStatements
from service.storage.statement import Compiled

MAX_WAIT_SECONDS = 5.0
"""How long a write waits for the writes of other processes."""


class SQLite(AssignmentStatements, OperationStatements, Administration):
    """See `backend.Backend`.

    Args:
        url: the database's.
        prepared_statements: ignored, because no pooler stands before a file.

    Raises:
        UnsupportedDatabase: the URL names no file.
    """

    driver_errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    sqlalchemy_dialect: sqlalchemy.Dialect = sqlite.dialect(paramstyle="named")

    def __init__(self, url: str, prepared_statements: Mode = "auto") -> None:  # noqa: ARG002  # the interface's
        self.place = urls.path(url)
        # Threads wait here, in order and without polling. SQLite itself polls, and a later one may come first.
        self._writer = threading.Lock()

    def reason(self, error: Exception) -> str:
        """Returns the first line of an error."""
        return first_line(str(error), error)

    def failure(self, error: Exception) -> Failure:
        """Goes by SQLite's result code."""
        return errors.failure(error)

    def unconfirmed(self, pooled: PoolProxiedConnection, error: Exception) -> bool:  # noqa: ARG002  # the interface's
        """Returns True if the file could not be written: it may have the whole commit when it is opened again."""
        return self.failure(error) in {Failure.AWAY, Failure.FULL}

    def violates(self, error: IntegrityError, constraint: UniqueConstraint) -> bool:
        """Goes by the columns."""
        return errors.violates(error, constraint)

    def engine(self, connections: int) -> Engine:
        """Makes an engine for a file that exists: only `db upgrade` makes it."""
        engine = create_engine(
            "sqlite://",
            creator=lambda: connect(self.place, MAX_WAIT_SECONDS),
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
        )

        @event.listens_for(engine, "begin")
        def _begin(connection: sqlalchemy.Connection) -> None:
            if not connection.get_execution_options().get("begun"):
                connection.exec_driver_sql("BEGIN" if read_only(self.place) else "BEGIN IMMEDIATE")

        return engine

    def writing(self, cancellation: Cancellation) -> AbstractContextManager[None]:
        """Waits for the other threads of this process, at most until the caller's deadline."""
        return self._locked(cancellation)

    @contextmanager
    def _locked(self, cancellation: Cancellation) -> Iterator[None]:
        remaining = cancellation.remaining()
        if not self._writer.acquire(timeout=-1 if remaining is None else remaining):
            raise DeadlineExceeded
        try:
            cancellation.check()
            yield
        finally:
            self._writer.release()

    def begin(self, pooled: PoolProxiedConnection, cancellation: Cancellation, view: View) -> None:
        """Begins a transaction, and limits the wait for other processes to the caller's deadline."""
        driver = _driver(pooled)
        remaining = cancellation.remaining()
        wait = MAX_WAIT_SECONDS if remaining is None else min(remaining, MAX_WAIT_SECONDS)
        # Rounded up: a wait that ends just before the caller's deadline would be answered as a conflict.
        driver.execute(f"PRAGMA busy_timeout = {math.ceil(wait * 1000)}").close()
        if view is not View.STATEMENT:
            driver.execute("BEGIN IMMEDIATE" if view is View.WRITE else "BEGIN").close()

    def commit(self, pooled: PoolProxiedConnection) -> None:
        """Commits; does nothing without a transaction."""
        _driver(pooled).commit()

    def flush(self, pooled: PoolProxiedConnection) -> None:
        """Does nothing: no statement is deferred."""

    def broken(self, pooled: PoolProxiedConnection) -> bool:  # noqa: ARG002  # the interface's
        """Returns False: there is no network."""
        return False

    def stop(self, pooled: PoolProxiedConnection) -> None:
        """Interrupts the connection."""
        _driver(pooled).interrupt()

    def rows(
        self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """Fetches all rows: an open cursor would delay the commit."""
        return _driver(pooled).execute(compiled.sql, bound).fetchall()

    def batch(
        self, pooled: PoolProxiedConnection, statements: Iterable[tuple[Compiled, Mapping[str, Any]]]
    ) -> list[list[tuple[Any, ...]]]:
        """Runs one statement after the other."""
        return [self.rows(pooled, compiled, bound) for compiled, bound in statements]

    def count(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> int:
        """Goes by the cursor."""
        return _driver(pooled).execute(compiled.sql, bound).rowcount

    def defer(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> None:
        """Runs the statement at once: there is no round trip to save."""
        self.count(pooled, compiled, bound)

    def writable(self, engine: Engine) -> bool:
        """Writes a row and rolls back. If another connection has the write lock, the database takes writes."""
        pooled = engine.raw_connection()
        try:
            driver = _driver(pooled)
            driver.execute("PRAGMA busy_timeout = 0").close()
            driver.execute("BEGIN IMMEDIATE").close()
            # BEGIN IMMEDIATE succeeds with a read-only file.
            driver.execute("UPDATE alembic_version SET version_num = version_num").close()
        except sqlite3.Error as error:
            return self.failure(error) is Failure.BUSY
        finally:
            pooled.close()  # rolls back
        return True


def _driver(pooled: PoolProxiedConnection) -> sqlite3.Connection:
    driver: Any = pooled.driver_connection
    found: sqlite3.Connection = driver
    return found
