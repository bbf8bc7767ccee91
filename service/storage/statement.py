"""Statements that are the same at every run: compiled once for each database, then run on the driver itself.

SQLAlchemy's own part of a small statement takes longer than the driver's and the database's together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ClauseElement, Dialect, SelectBase

from service.runtime.chunks import parts

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement in a database's own words.

    Attributes:
        sql: the words.
        names: the parameters, in the order in which they are numbered, where they are.
        fixed: the values of those that never change.
        bind_processors: turns a parameter into what the driver takes.
        result_processors: turns a column, by its place, into what the domain takes.
    """

    sql: str
    names: tuple[str, ...]
    fixed: Mapping[str, Any]
    bind_processors: Mapping[str, Convert]
    result_processors: tuple[tuple[int, Convert], ...]

    def bound(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Gives what the driver takes, by name."""
        bound = {**self.fixed, **parameters}
        for name, write in self.bind_processors.items():
            bound[name] = write(bound[name])
        return bound

    def read(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Gives the rows as the domain takes them."""
        if not self.result_processors:
            return rows
        converted = []
        for part in parts(rows):
            for row in part:
                values = list(row)
                for place, convert in self.result_processors:
                    values[place] = convert(values[place])
                converted.append(tuple(values))
        return converted


class Statement:
    """A statement whose text depends on nothing but the database.

    Args:
        clause: what it says; each of its parameters is a `bindparam`.
    """

    def __init__(self, clause: ClauseElement) -> None:
        self._clause = clause
        self._compiled: dict[Dialect, Compiled] = {}

    def compiled(self, dialect: Dialect) -> Compiled:
        """Gives its words for a database."""
        known = self._compiled.get(dialect)
        if known is None:
            known = self._compiled[dialect] = _compile(self._clause, dialect)
        return known


def _compile(clause: ClauseElement, dialect: Dialect) -> Compiled:
    compiled: Any = clause.compile(dialect=dialect)
    binds = compiled.bind_names
    bind_processors = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for bind, name in binds.items()}
    columns = list(clause.selected_columns) if isinstance(clause, SelectBase) else []
    result_processors = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
    return Compiled(
        sql=compiled.string,
        names=tuple(compiled.positiontup or ()),
        fixed={name: bind.value for bind, name in binds.items() if not bind.required},
        bind_processors={name: write for name, write in bind_processors.items() if write is not None},
        result_processors=tuple((place, read) for place, read in enumerate(result_processors) if read is not None),
    )
