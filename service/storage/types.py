"""Column types and SQL words that read the same on both databases."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Ordered by code point: PostgreSQL's "C" compares UTF-8 bytes, as SQLite does anyway.
Ordered = Text().with_variant(Text(collation="C"), "postgresql")


class Instant(TypeDecorator[datetime]):
    """A moment to the microsecond: `timestamptz` on PostgreSQL, microseconds since 1970 on SQLite, that has none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Chooses the column's type."""
        return dialect.type_descriptor(DateTime(timezone=True) if dialect.name == "postgresql" else BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Writes a moment; it must know its zone."""
        if value is None or dialect.name == "postgresql":
            return value
        return (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # SQLAlchemy's
        """Reads a moment, in UTC, from SQLite's number."""
        return None if value is None else _EPOCH + int(value) * _MICROSECOND

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Reads nothing twice: on PostgreSQL the session's time zone is UTC, and psycopg reads moments."""
        return None if dialect.name == "postgresql" else super().result_processor(dialect, coltype)


class TextArray(TypeDecorator[list[str]]):
    """A list of strings as one parameter: an array on PostgreSQL, a JSON text on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Chooses the parameter's type."""
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: list[str] | None, dialect: Dialect) -> Any:
        """Writes the list."""
        return value if dialect.name == "postgresql" else json.dumps(value)


class among(FunctionElement[Any]):  # noqa: N801  # reads as SQL: among(column, parameter)
    """Says that a column's value is in a list that came as one `TextArray` parameter.

    One parameter, whatever its length, keeps the statement the same, so that its plan is prepared once.
    """

    inherit_cache = True
    # Not Boolean: for one, SQLAlchemy writes `= 1` behind it on SQLite, which then uses no index.
    type = Integer()


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} = ANY ({values})"


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608  # from the compiler
