"""A connection that makes a span of each statement. It is used only where spans are sent."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, event

from service.storage.connection import Connection
from service.storage.statement import Statement
from service.tracing import spans


class TracedConnection(Connection):
    """See `connection.Connection`."""

    def rows(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Runs a statement and returns its rows."""
        with spans.statement(self._sql(statement), **self._attributes):
            return super().rows(statement, parameters)

    def batch(self, statements: Sequence[Statement], parameters: Mapping[str, Any]) -> list[list[tuple[Any, ...]]]:
        """Runs statements in order, and returns the rows of each. They are sent together, so they have one span."""
        sql = "; ".join(map(self._sql, statements))
        with spans.statement(sql, **self._attributes, **{"db.operation.batch.size": len(statements)}):
            return super().batch(statements, parameters)

    def count(self, statement: Statement, parameters: Mapping[str, Any]) -> int:
        """Runs a statement and returns how many rows it wrote."""
        with spans.statement(self._sql(statement), **self._attributes):
            return super().count(statement, parameters)

    def defer(self, statement: Statement, parameters: Mapping[str, Any]) -> None:
        """Runs a statement with the commit at the latest. The span ends before that; `COMMIT` has the time."""
        with spans.statement(self._sql(statement), **self._attributes, **{"device_assignment.deferred": True}):
            super().defer(statement, parameters)

    def commit(self) -> None:
        """Commits the transaction."""
        with spans.statement("COMMIT", **self._attributes):
            super().commit()

    @property
    def _attributes(self) -> dict[str, Any]:
        return {"db.system.name": self._backend.sqlalchemy_dialect.name}

    def _sql(self, statement: Statement) -> str:
        return statement.compiled(self._backend.sqlalchemy_dialect).sql


def trace_core(engine: Engine) -> None:
    """Makes a span of each statement that goes through SQLAlchemy."""

    @event.listens_for(engine, "before_cursor_execute")
    def _before(connection: sqlalchemy.Connection, *arguments: Any) -> None:
        span = spans.statement(str(arguments[1]), **{"db.system.name": engine.dialect.name})
        span.__enter__()  # the end of the statement is another event
        connection.info.setdefault("spans", []).append(span)

    @event.listens_for(engine, "after_cursor_execute")
    def _after(connection: sqlalchemy.Connection, *_arguments: Any) -> None:
        connection.info["spans"].pop().__exit__(None, None, None)

    @event.listens_for(engine, "handle_error")
    def _failed(failure: sqlalchemy.ExceptionContext) -> None:
        running = failure.connection.info.get("spans") if failure.connection is not None else None
        if running:
            error = failure.original_exception
            running.pop().__exit__(type(error), error, error.__traceback__)
