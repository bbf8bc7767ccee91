"""Runs work in transactions: all of it or nothing, again if it lost, stopped if the caller is gone."""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import psycopg
import sqlalchemy
from sqlalchemy import Pool, PoolProxiedConnection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.domain.cancellation import Cancellation
from service.domain.errors import (
    Conflict,
    DatabaseUnavailable,
    DeadlineExceeded,
    OutcomeUnknown,
    Overloaded,
    ServiceError,
)
from service.storage import location
from service.storage.backend import Backend, Failure, View
from service.storage.connection import Connection
from service.storage.location import UnsupportedDatabase
from service.storage.postgresql.backend import PostgreSQL
from service.storage.sqlite.backend import SQLite
from service.storage.transaction import Retry, Transaction

T = TypeVar("T")

_DRIVER_ERRORS = (DBAPIError, sqlite3.Error, psycopg.Error)

_UNCONFIRMED = "The database did not confirm that the change is kept"
_TRIES = 6
_FIRST_PAUSE_SECONDS = 0.005


class Database:
    """A database and its connections.

    Args:
        url: `sqlite:///file.db` or `postgresql+psycopg://…`.
        connections: how many to hold at most.

    Raises:
        UnsupportedDatabase: the URL is none of these.
    """

    def __init__(self, url: str, connections: int = 5) -> None:
        self.url = url
        self.backend = backend_of(url)
        self.engine = self.backend.engine(url, connections)

    def write(self, organization_id: str, cancellation: Cancellation, work: Callable[[Transaction], T]) -> T:
        """See `domain.unit_of_work.Storage`."""
        for attempt in range(_TRIES):
            if attempt:
                # The jitter keeps those that collided from colliding again.
                time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt * (0.5 + random.random()))  # noqa: S311  # no secret
            with self.backend.writing(cancellation):
                try:
                    return self._run(organization_id, cancellation, work, View.WRITE)
                except Retry:
                    continue
        raise Conflict

    def read(
        self,
        organization_id: str,
        cancellation: Cancellation,
        work: Callable[[Transaction], T],
        *,
        one_statement: bool = False,
    ) -> T:
        """See `domain.unit_of_work.Storage`."""
        view = View.STATEMENT if one_statement else View.SNAPSHOT
        for _ in range(_TRIES):
            try:
                return self._run(organization_id, cancellation, work, view)
            except Retry:
                continue
        raise Conflict

    def _run(self, organization_id: str, cancellation: Cancellation, work: Callable[[Transaction], T], view: View) -> T:
        with self._connected(cancellation, view, again=True) as connection:
            transaction = Transaction(connection, organization_id, self.backend)
            result = work(transaction)
            if view is View.WRITE:
                transaction.operations.finish(cancellation)
            return result

    @contextmanager
    def _connected(self, cancellation: Cancellation, view: View, *, again: bool) -> Iterator[Connection]:
        """Begins a transaction, commits it if the block ends well, and rolls it back otherwise.

        Args:
            cancellation: what can end it early.
            view: what it sees and does.
            again: whether it can be run again if the connection turns out to have died.

        Raises:
            Retry: it was lost, and can be run again.
            Conflict, DeadlineExceeded, DatabaseUnavailable, Overloaded, Cancelled: it could not be done.
            OutcomeUnknown: it may have been done.
        """
        pool = self.engine.pool
        try:
            pooled = self.engine.raw_connection()
        except PoolTimeoutError as error:
            raise Overloaded from error
        except _DRIVER_ERRORS as error:
            raise self._translated(error, cancellation, lost=False) from error
        connection = Connection(self.engine, pooled, self.backend)
        committing = False
        try:
            with cancellation.stopping(lambda: self.backend.stop(pooled)):
                self.backend.begin(pooled, cancellation, view)
                yield connection
            # From here on nothing is stopped. PostgreSQL answers a COMMIT that is cancelled while it waits for a
            # standby with success, and everybody can see then what may yet be lost.
            cancellation.check()
            committing = True
            self.backend.commit(pooled)
        except _DRIVER_ERRORS as error:
            # A pooled connection may have died long ago, with a restart of the database: then nothing has happened
            # yet. Behind a commit nobody knows, and only the caller can ask again, with the request id.
            lost = self._lost(pooled, pool, error) and again and not committing
            failure: Exception
            if committing and view is View.WRITE and self.backend.unconfirmed(pooled, error):
                failure = OutcomeUnknown()
            else:
                failure = self._translated(error, cancellation, lost=lost)
            try:
                if failure is error:
                    raise
                raise failure from error
            finally:
                # Its traceback holds this frame, and so all of the call: only the collector would free them.
                del failure
        finally:
            # Nobody would ever close what is given back to a pool that others have let go of.
            let_go = self.engine.pool is not pool
            self._give_back(connection, pooled, of_no_use=let_go or cancellation.unsure)

    def _lost(self, pooled: PoolProxiedConnection, pool: Pool, error: Exception) -> bool:
        if getattr(error, "connection_invalidated", False):
            return True
        if not self.backend.broken(pooled):
            return False
        # The others in the pool are as old as this one, unless another thread has begun a new one meanwhile.
        if self.engine.pool is pool:
            self.engine.dispose()
        return True

    def _give_back(self, connection: Connection, pooled: PoolProxiedConnection, *, of_no_use: bool) -> None:
        if pooled.is_valid and (of_no_use or self.backend.broken(pooled)):
            pooled.invalidate()
        try:
            connection.close()
        except _DRIVER_ERRORS:
            # The rollback has shown that the connection was lost. What the call has found out stands.
            if pooled.is_valid:
                pooled.invalidate()

    def _translated(self, error: Exception, cancellation: Cancellation, *, lost: bool) -> Exception:
        match self.backend.failure(error):
            case Failure.RETRY:
                return Retry()
            case Failure.BUSY:
                cancellation.check()
                return Conflict()
            case Failure.STOPPED:
                cancellation.check()
                return DeadlineExceeded()
            case Failure.AWAY:
                return Retry() if lost else DatabaseUnavailable()
            case Failure.DEFECT:
                return error

    @contextmanager
    def session(self, *, write: bool = True) -> Iterator[sqlalchemy.Connection]:
        """Gives a connection in a transaction of no organisation, for keys, organisations and housekeeping.

        Raises:
            Conflict, DatabaseUnavailable, Overloaded, OutcomeUnknown: as `write` does. `IntegrityError` passes through.
        """
        patient = Cancellation()
        view = View.WRITE if write else View.SNAPSHOT
        try:
            with (
                self.backend.writing(patient) if write else nullcontext(),
                self._connected(patient, view, again=False) as connection,
            ):
                yield connection.core
        except Retry as error:
            raise Conflict from error
        except OutcomeUnknown as error:
            raise OutcomeUnknown(f"{_UNCONFIRMED}; look whether it is before you run this again") from error

    def reachable(self) -> bool:
        """Tells whether the database answers."""
        try:
            with self.session(write=False) as connection:
                # A table, because SQLite answers `SELECT 1` without a look at its file.
                connection.execute(text("SELECT version_num FROM alembic_version")).close()
        except (DBAPIError, ServiceError):
            return False
        return True

    def writable(self) -> bool:
        """Returns whether the database takes writes."""
        try:
            return self.backend.writable(self.engine)
        except (PoolTimeoutError, *_DRIVER_ERRORS):
            return False

    def close(self) -> None:
        """Gives every connection back."""
        self.engine.dispose()


def backend_of(url: str) -> Backend:
    """Chooses the backend that a URL asks for.

    Raises:
        UnsupportedDatabase: there is none.
    """
    wanted = location.WANTED
    parsed = location.parsed(url)
    match parsed.drivername:
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return SQLite()
        case "sqlite":
            raise UnsupportedDatabase(f"an SQLite database needs a file, because connections share it; {wanted}")
        case "postgresql" | "postgresql+psycopg":
            return PostgreSQL()
        case other:
            raise UnsupportedDatabase(f"the database URL names {other}, which is not supported; {wanted}")
