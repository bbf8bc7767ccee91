"""A pooled connection in a transaction. Statements of every call go to the driver, others through SQLAlchemy."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, PoolProxiedConnection

from service.storage.backend import Backend
from service.storage.statement import Statement


class Connection:
    """A connection in a transaction, which `pool.ConnectionPool` begins and ends.

    Args:
        engine: the engine of the pool.
        pooled: the connection, from the pool.
        backend: the backend of the database.
    """

    def __init__(self, engine: Engine, pooled: PoolProxiedConnection, backend: Backend) -> None:
        self._engine = engine
        self._pooled = pooled
        self._backend = backend
        self._core: sqlalchemy.Connection | None = None

    def rows(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Runs a statement and returns its rows."""
        compiled = statement.compiled(self._backend.sqlalchemy_dialect)
        return compiled.read(self._backend.rows(self._pooled, compiled, compiled.bound(parameters)))

    def batch(self, statements: Sequence[Statement], parameters: Mapping[str, Any]) -> list[list[tuple[Any, ...]]]:
        """Runs statements in order, each with those of the parameters that it has, and returns the rows of each."""
        sqlalchemy_dialect = self._backend.sqlalchemy_dialect
        compiled = [statement.compiled(sqlalchemy_dialect) for statement in statements]
        found = self._backend.batch(self._pooled, [(each, each.bound(parameters)) for each in compiled])
        return [each.read(rows) for each, rows in zip(compiled, found, strict=True)]

    def count(self, statement: Statement, parameters: Mapping[str, Any]) -> int:
        """Runs a statement and returns how many rows it wrote."""
        compiled = statement.compiled(self._backend.sqlalchemy_dialect)
        return self._backend.count(self._pooled, compiled, compiled.bound(parameters))

    def defer(self, statement: Statement, parameters: Mapping[str, Any]) -> None:
        """Runs a statement whose result is not needed, with the commit at the latest."""
        compiled = statement.compiled(self._backend.sqlalchemy_dialect)
        self._backend.defer(self._pooled, compiled, compiled.bound(parameters))

    def commit(self) -> None:
        """Commits the transaction."""
        self._backend.commit(self._pooled)

    @property
    def info(self) -> dict[Any, Any]:
        """What is remembered for as long as the connection to the database lives."""
        return self._pooled.info

    @property
    def core(self) -> sqlalchemy.Connection:
        """The same connection in the same transaction as a connection of SQLAlchemy."""
        self._backend.flush(self._pooled)
        if self._core is None:
            self._core = sqlalchemy.Connection(self._engine, self._pooled).execution_options(begun=True)
        return self._core

    def close(self) -> None:
        """Returns the connection to the pool, which rolls back what was not committed."""
        (self._core or self._pooled).close()
