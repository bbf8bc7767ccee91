"""A pooled connection in a transaction: what is run at every call goes to the driver, the rest through SQLAlchemy."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, PoolProxiedConnection

from service.storage.backend import Backend
from service.storage.statement import Statement


class Connection:
    """A connection that somebody else has begun a transaction on, and will end.

    Args:
        engine: whose pool it comes from.
        pooled: the connection.
        backend: the database's.
    """

    def __init__(self, engine: Engine, pooled: PoolProxiedConnection, backend: Backend) -> None:
        self._engine = engine
        self._pooled = pooled
        self._backend = backend
        self._core: sqlalchemy.Connection | None = None

    def rows(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Runs a statement and gives its rows."""
        compiled = statement.compiled(self._backend.sqlalchemy_dialect)
        return compiled.read(self._backend.rows(self._pooled, compiled, compiled.bound(parameters)))

    def batch(self, statements: Sequence[Statement], parameters: Mapping[str, Any]) -> list[list[tuple[Any, ...]]]:
        """Runs statements one after the other, each with its own of the parameters, and gives each one's rows."""
        sqlalchemy_dialect = self._backend.sqlalchemy_dialect
        compiled = [statement.compiled(sqlalchemy_dialect) for statement in statements]
        found = self._backend.batch(self._pooled, [(each, each.bound(parameters)) for each in compiled])
        return [each.read(rows) for each, rows in zip(compiled, found, strict=True)]

    def count(self, statement: Statement, parameters: Mapping[str, Any]) -> int:
        """Runs a statement and tells how many rows it wrote."""
        compiled = statement.compiled(self._backend.sqlalchemy_dialect)
        return self._backend.count(self._pooled, compiled, compiled.bound(parameters))

    def defer(self, statement: Statement, parameters: Mapping[str, Any]) -> None:
        """Runs a statement whose outcome nobody needs, at the latest together with the commit."""
        compiled = statement.compiled(self._backend.sqlalchemy_dialect)
        self._backend.defer(self._pooled, compiled, compiled.bound(parameters))

    @property
    def core(self) -> sqlalchemy.Connection:
        """The same connection, in the same transaction, as SQLAlchemy's."""
        self._backend.flush(self._pooled)
        if self._core is None:
            self._core = sqlalchemy.Connection(self._engine, self._pooled).execution_options(begun=True)
        return self._core

    def close(self) -> None:
        """Gives the connection back to the pool."""
        (self._core or self._pooled).close()
