"""Runs work in transactions: all of it or nothing, again if it lost, stopped if the caller is gone."""

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.domain.errors import (
    Conflict,
    DatabaseUnavailable,
    DeadlineExceeded,
    OperatorError,
    Overloaded,
    ServiceError,
)
from service.domain.interruption import Interruption
from service.storage.dialects import Dialect, Failure
from service.storage.postgresql import PostgreSQL
from service.storage.sqlite import SQLite
from service.storage.transaction import Retry, Transaction

T = TypeVar("T")

_TRIES = 6
_FIRST_PAUSE_SECONDS = 0.005


class UnsupportedDatabase(OperatorError):
    """The URL names no database that this service works with; the text says which it does."""


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
        self.dialect = dialect_of(url)
        self.engine = self.dialect.engine(url, connections)

    def write(self, organization_id: str, interruption: Interruption, work: Callable[[Transaction], T]) -> T:
        """See `domain.unit_of_work.Storage`."""
        for attempt in range(_TRIES):
            if attempt:
                # The jitter keeps those that collided from colliding again.
                time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt * (0.5 + random.random()))  # noqa: S311  # no secret
            with self.dialect.writing(interruption):
                try:
                    return self._run(organization_id, interruption, work, write=True)
                except Retry:
                    continue
        raise Conflict

    def read(self, organization_id: str, interruption: Interruption, work: Callable[[Transaction], T]) -> T:
        """See `domain.unit_of_work.Storage`."""
        for _ in range(_TRIES):
            try:
                return self._run(organization_id, interruption, work, write=False)
            except Retry:
                continue
        raise Conflict

    def _run(
        self,
        organization_id: str,
        interruption: Interruption,
        work: Callable[[Transaction], T],
        *,
        write: bool,
    ) -> T:
        committing = False
        try:
            with self.engine.connect() as connection:
                prepared = self.dialect.prepare(connection, interruption, write=write)
                with (
                    self._discarding(connection, interruption),
                    interruption.stopping(lambda: self.dialect.stop(connection)),
                ):
                    prepared.begin()
                    transaction = Transaction(prepared, organization_id, self.dialect)
                    result = work(transaction)
                    transaction.operations.finish()
                    interruption.check()
                    committing = True
                    prepared.commit()
                    return result
        except (DBAPIError, sqlite3.Error) as error:
            raise self._translated(error, interruption, committing=committing) from error
        except PoolTimeoutError as error:
            raise Overloaded from error

    @contextmanager
    def _discarding(self, connection: Connection, interruption: Interruption) -> Iterator[None]:
        try:
            yield
        finally:
            if interruption.unsure:
                connection.invalidate()

    def _translated(self, error: Exception, interruption: Interruption, *, committing: bool) -> Exception:
        match self.dialect.failure(error):
            case Failure.RETRY:
                return Retry()
            case Failure.BUSY:
                interruption.check()
                return Conflict()
            case Failure.STOPPED:
                interruption.check()
                return DeadlineExceeded()
            case Failure.AWAY:
                # A pooled connection may have died long ago, with a restart of the database: then nothing has happened
                # yet. Behind a commit nobody knows, and only the caller can ask again, with the request id.
                if getattr(error, "connection_invalidated", False) and not committing:
                    return Retry()
                return DatabaseUnavailable()
            case Failure.DEFECT:
                return error

    @contextmanager
    def session(self, *, write: bool = True) -> Iterator[Connection]:
        """Gives a connection in a transaction of no organisation, for keys, organisations and housekeeping.

        Raises:
            Conflict, DatabaseUnavailable, Overloaded: as `write` does. `IntegrityError` passes through.
        """
        patient = Interruption()
        try:
            with (
                self.dialect.writing(patient) if write else nullcontext(),
                self.engine.connect() as connection,
                self.dialect.prepare(connection, patient, write=write).begin(),
            ):
                yield connection
        except IntegrityError:
            raise
        except DBAPIError as error:
            failure = self._translated(error, patient, committing=True)
            raise (Conflict() if isinstance(failure, Retry) else failure) from error
        except PoolTimeoutError as error:
            raise Overloaded from error

    def reachable(self) -> bool:
        """Tells whether the database answers."""
        try:
            with self.session(write=False) as connection:
                # A table, because SQLite answers `SELECT 1` without a look at its file.
                connection.execute(text("SELECT version_num FROM alembic_version")).close()
        except (DBAPIError, ServiceError):
            return False
        return True

    def close(self) -> None:
        """Gives every connection back."""
        self.engine.dispose()


def dialect_of(url: str) -> Dialect:
    """Chooses the dialect that a URL asks for.

    Raises:
        UnsupportedDatabase: there is none.
    """
    wanted = "use sqlite:///path/to/file.db or postgresql+psycopg://user:password@host/database"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not told from what: the error quotes the URL, and a password in it.
        raise UnsupportedDatabase(f"the database URL cannot be read; {wanted}") from None
    match parsed.drivername:
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return SQLite()
        case "sqlite":
            raise UnsupportedDatabase(f"an SQLite database needs a file, because connections share it; {wanted}")
        case "postgresql" | "postgresql+psycopg":
            return PostgreSQL()
        case other:
            raise UnsupportedDatabase(f"the database URL names {other}, which is not supported; {wanted}")
