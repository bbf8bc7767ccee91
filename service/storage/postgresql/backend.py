"""PostgreSQL: row locks, the database's own clock, and one statement for each change and its log."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy import Engine, PoolProxiedConnection, UniqueConstraint
from sqlalchemy.dialects.postgresql import psycopg as sqlalchemy_psycopg
from sqlalchemy.exc import IntegrityError

from service.domain.cancellation import Cancellation
from service.storage.backend import Failure, View
from service.storage.database_url import parsed
from service.storage.postgresql import connect, errors
from service.storage.postgresql import url as urls
from service.storage.postgresql.administration import Administration
from service.storage.postgresql.assignments import AssignmentStatements
from service.storage.postgresql.libpq import Session, Unconfirmed
from service.storage.postgresql.operations import OperationStatements
from service.storage.statement import Compiled

_BEGIN = {View.WRITE: "BEGIN", View.SNAPSHOT: "BEGIN ISOLATION LEVEL REPEATABLE READ", View.STATEMENT: None}


class PostgreSQL(AssignmentStatements, OperationStatements, Administration):
    """See `backend.Backend`.

    Args:
        url: the database's.

    Raises:
        UnsupportedDatabase: the URL has an option that the driver does not know.
    """

    driver_errors: tuple[type[Exception], ...] = (psycopg.Error,)

    sqlalchemy_dialect: sqlalchemy.Dialect = sqlalchemy_psycopg.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy's

    def __init__(self, url: str) -> None:
        self._url = parsed(url)
        urls.check(self._url)

    @property
    def place(self) -> str:
        """Where the database is."""
        return urls.place(self._url)

    def reason(self, error: Exception) -> str:
        """Returns the first line of an error, without passwords."""
        return urls.reason(self._url, error)

    def failure(self, error: Exception) -> Failure:
        """Goes by the SQLSTATE."""
        return errors.failure(error)

    def unconfirmed(self, pooled: PoolProxiedConnection, error: Exception) -> bool:
        """Returns True for a warning and for a lost connection; any other error rolls the transaction back."""
        return isinstance(error, Unconfirmed) or self.broken(pooled)

    def violates(self, error: IntegrityError, constraint: UniqueConstraint) -> bool:
        """Goes by the constraint's name."""
        return errors.violates(error, constraint)

    def engine(self, connections: int) -> Engine:
        """Makes an engine."""
        return connect.engine(self._url, connections)

    def writing(self, cancellation: Cancellation) -> AbstractContextManager[None]:  # noqa: ARG002  # the interface's
        """Waits for nothing: transactions wait for each other at rows only."""
        return nullcontext()

    def begin(self, pooled: PoolProxiedConnection, cancellation: Cancellation, view: View) -> None:  # noqa: ARG002  # the interface's
        """Begins a transaction together with its first statement, unless that statement is to run alone."""
        Session.of(pooled).begin(_BEGIN[view])

    def commit(self, pooled: PoolProxiedConnection) -> None:
        """Commits, together with the deferred statements."""
        Session.of(pooled).commit()

    def flush(self, pooled: PoolProxiedConnection) -> None:
        """Sends the deferred statements."""
        Session.of(pooled).flush()

    def broken(self, pooled: PoolProxiedConnection) -> bool:
        """Asks libpq."""
        return connect.driver(pooled).closed

    def stop(self, pooled: PoolProxiedConnection) -> None:
        """Asks the server to cancel, over a connection of its own."""
        connect.driver(pooled).cancel_safe(timeout=5.0)

    def rows(
        self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """Runs a statement without psycopg's cursors."""
        return Session.of(pooled).rows(compiled.sql, [bound[name] for name in compiled.names])

    def batch(
        self, pooled: PoolProxiedConnection, statements: Iterable[tuple[Compiled, Mapping[str, Any]]]
    ) -> list[list[tuple[Any, ...]]]:
        """Sends all statements at once."""
        return Session.of(pooled).batch(
            (compiled.sql, [bound[name] for name in compiled.names]) for compiled, bound in statements
        )

    def count(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> int:
        """Runs a statement without psycopg's cursors."""
        return Session.of(pooled).run(compiled.sql, [bound[name] for name in compiled.names]).command_tuples or 0

    def defer(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> None:
        """Sends a statement together with the next one, to save a round trip."""
        Session.of(pooled).defer(compiled.sql, [bound[name] for name in compiled.names])
