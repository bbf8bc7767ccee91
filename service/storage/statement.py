"""Statements whose text never changes: compiled once for each database, then run on the driver.

SQLAlchemy's own part of running a small statement takes longer than the driver's and the database's together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ClauseElement, Dialect, SelectBase

from service.runtime.chunks import chunks

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as SQL for one database.

    Attributes:
        sql: the text.
        names: the names of the parameters in the order of their numbers, if the database numbers them.
        fixed: the values of the parameters that are part of the statement.
        bind_processors: by parameter, the function that converts a value for the driver.
        result_processors: by position, the function that converts a column's values from the driver's.
    """

    sql: str
    names: tuple[str, ...]
    fixed: Mapping[str, Any]
    bind_processors: Mapping[str, Convert]
    result_processors: tuple[tuple[int, Convert], ...]

    def bound(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the parameters as the driver takes them, by name."""
        bound = {**self.fixed, **parameters}
        for name, write in self.bind_processors.items():
            bound[name] = write(bound[name])
        return bound

    def read(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Returns the rows with their columns converted."""
        if not self.result_processors:
            return rows
        converted = []
        for chunk in chunks(rows):
            for row in chunk:
                values = list(row)
                for place, convert in self.result_processors:
                    values[place] = convert(values[place])
                converted.append(tuple(values))
        return converted


class Statement:
    """A statement whose text depends on the database alone.

    Args:
        clause: the statement in SQLAlchemy's terms; each of its parameters is a `bindparam`.
    """

    def __init__(self, clause: ClauseElement) -> None:
        self._clause = clause
        self._compiled: dict[Dialect, Compiled] = {}

    def compiled(self, dialect: Dialect) -> Compiled:
        """Returns the statement compiled for a dialect."""
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
