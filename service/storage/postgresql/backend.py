"""PostgreSQL: row locks, the database's own clock, and one statement for each change."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy import Engine, PoolProxiedConnection, UniqueConstraint
from sqlalchemy.dialects.postgresql import psycopg as sqlalchemy_psycopg
from sqlalchemy.exc import IntegrityError

from service.domain.cancellation import Cancellation
from service.storage.backend import Failure, Mode, View
from service.storage.postgresql import connect, errors
from service.storage.postgresql import url as urls
from service.storage.postgresql.administration import Administration
from service.storage.postgresql.assignments import AssignmentStatements
from service.storage.postgresql.libpq import Session, Unconfirmed
from service.storage.postgresql.operations import OperationStatements
from service.storage.postgresql.prepared import PreparedStatements
from service.storage.statement import Compiled


class PostgreSQL(AssignmentStatements, OperationStatements, Administration):
    """See `backend.Backend`.

    Args:
        url: the database's.
        prepared_statements: whether statements are prepared.

    Raises:
        UnsupportedDatabase: the URL has an option that the driver does not know.
    """

    driver_errors: tuple[type[Exception], ...] = (psycopg.Error,)

    sqlalchemy_dialect: sqlalchemy.Dialect = sqlalchemy_psycopg.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]  # SQLAlchemy's

    def __init__(self, url: str, prepared_statements: Mode = "auto") -> None:
        self._parameters = urls.parameters(url)
        self._statements = PreparedStatements(prepared_statements)

    @property
    def place(self) -> str:
        """Where the database is."""
        return urls.place(self._parameters)

    def reason(self, error: Exception) -> str:
        """Returns the first line of an error, without passwords."""
        return urls.reason(self._parameters, error)

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
        return connect.engine(self._parameters, connections)

    def writing(self, cancellation: Cancellation) -> AbstractContextManager[None]:  # noqa: ARG002  # the interface's
        """Waits for nothing: transactions wait for each other at rows only."""
        return nullcontext()

    def begin(self, pooled: PoolProxiedConnection, cancellation: Cancellation, view: View) -> None:  # noqa: ARG002  # the interface's
        """Begins a transaction together with its first statement, unless that statement can run alone."""
        session = self._session(pooled)
        session.begin(*session.settings.beginning(view, prepared=self._statements.named))

    def commit(self, pooled: PoolProxiedConnection) -> None:
        """Commits, together with the deferred statements."""
        self._session(pooled).commit()

    def flush(self, pooled: PoolProxiedConnection) -> None:
        """Sends the deferred statements."""
        self._session(pooled).flush()

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
        return self._session(pooled).rows(compiled.sql, [bound[name] for name in compiled.names])

    def batch(
        self, pooled: PoolProxiedConnection, statements: Iterable[tuple[Compiled, Mapping[str, Any]]]
    ) -> list[list[tuple[Any, ...]]]:
        """Sends all statements at once."""
        return self._session(pooled).batch(
            (compiled.sql, [bound[name] for name in compiled.names]) for compiled, bound in statements
        )

    def count(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> int:
        """Runs a statement without psycopg's cursors."""
        return self._session(pooled).run(compiled.sql, [bound[name] for name in compiled.names]).command_tuples or 0

    def defer(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> None:
        """Sends a statement together with the next one, to save a round trip."""
        self._session(pooled).defer(compiled.sql, [bound[name] for name in compiled.names])

    def _session(self, pooled: PoolProxiedConnection) -> Session:
        return Session.of(pooled, self._statements)
