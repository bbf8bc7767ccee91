"""The plans of the statements that a call runs, and on PostgreSQL the rows and blocks that they read."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import text

from service.storage.database import Database

GROWING = {"assignment", "customer", "customer_revision", "device", "operation", "past_assignment", "reply"}
"""The tables that grow with use. A statement that reads one of them whole becomes slow."""

# Logs every statement, also those inside functions and those that check foreign keys.
_EXPLAIN = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_parameter_max_length": "0",
    "auto_explain.log_format": "json",
}


@dataclass(frozen=True)
class Plan:
    """The plan of one statement, as executed."""

    statement: str
    root: dict[str, Any]

    @property
    def nodes(self) -> Iterator[dict[str, Any]]:
        """The nodes of the plan, the outer ones first."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            waiting += reversed(node.get("Plans", []))
            yield node

    @property
    def scanned(self) -> set[str]:
        """The growing tables that it scans completely."""
        return {node["Relation Name"] for node in self.nodes if node["Node Type"] == "Seq Scan"} & GROWING

    @property
    def forks(self) -> bool:
        """Whether it uses parallel workers: starting them takes longer than a small call."""
        return any(node["Node Type"].startswith("Gather") for node in self.nodes)

    @property
    def rows(self) -> int:
        """How many rows of growing tables it read, including those that a filter removed."""
        return sum(_looked_at(node) for node in self.nodes if node.get("Relation Name") in GROWING)

    @property
    def blocks(self) -> int:
        """How many blocks of 8 KiB it read. A needless scan of an index shows here."""
        return int(self.root["Shared Hit Blocks"] + self.root["Shared Read Blocks"])

    def __str__(self) -> str:
        return f"{self.statement}\n{_drawn(self.root)}"


def _looked_at(node: dict[str, Any]) -> int:
    if "Scan" not in node["Node Type"]:
        return 0  # a statement that writes
    dropped = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    rows: float = (node.get("Actual Rows", 0) + dropped) * node.get("Actual Loops", 0)
    return round(rows)


def _drawn(node: dict[str, Any], depth: int = 0) -> str:
    names = ("Relation Name", "Index Name", "Index Cond", "Filter", "Sort Key")
    told = [f"{name}: {node[name]}" for name in names if name in node]
    work = f"rows={node.get('Actual Rows')} loops={node.get('Actual Loops')} looked at={_looked_at(node)}"
    line = f"{'  ' * depth}{node['Node Type']} ({work}) {'; '.join(told)}"
    return "\n".join([line, *(_drawn(child, depth + 1) for child in node.get("Plans", []))])


@dataclass
class Recording:
    """The plans of the statements that ran during a recording."""

    plans: list[Plan] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows of growing tables all statements read."""
        return sum(plan.rows for plan in self.plans)

    @property
    def blocks(self) -> int:
        """How many blocks all statements read."""
        return sum(plan.blocks for plan in self.plans)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.plans))


class Recorder:
    """Makes a database log the plans of all connections that are opened from now on.

    Args:
        database: the database; its user must be a superuser.
        log: where its server writes.
    """

    def __init__(self, database: Database, log: Path) -> None:
        self._log = log
        with database.session() as connection:
            name = connection.execute(text("SELECT current_database()")).scalar_one()
            for setting, value in _EXPLAIN.items():
                connection.execute(text(f"ALTER DATABASE {name} SET {setting} = '{value}'"))

    @contextmanager
    def recording(self) -> Iterator[Recording]:
        """Yields the recording of what runs during the block."""
        beginning = self._log.stat().st_size
        found = Recording()
        yield found
        with self._log.open("rb") as log:
            log.seek(beginning)
            found.plans += plans_in(log.read().decode(errors="replace"))


# The service may run statements of its own, or after an answer, so the log can end in the middle of a plan.
_WHOLE_PLAN = re.compile(r"^\t\{\n(?:^\t .*\n)+^\t\}\n", re.MULTILINE)


def plans_in(log: str) -> Iterator[Plan]:
    """Returns the complete plans in a part of a server's log."""
    for whole in _WHOLE_PLAN.findall(log):
        told = json.loads(whole)
        yield Plan(told["Query Text"], told["Plan"])


@dataclass(frozen=True)
class Step:
    """One line of SQLite's plan of a statement."""

    statement: str
    words: str

    @property
    def reads_a_table_whole(self) -> bool:
        """Whether it scans a growing table, or an organisation's part of it, completely."""
        if (found := _STEP.match(self.words)) is None or self._table(found["name"]) not in GROWING:
            return False
        # The largest number of an organisation's customers is the last entry of the key's index.
        if found["name"] == "customer" and "max(number)" in self.statement:
            return False
        return found["way"] == "SCAN" or self.words.endswith("(organization_number=?)")

    def _table(self, name: str) -> str:
        """Returns the table of an alias in the statement."""
        named = re.search(rf"(\w+) AS {name}\b", self.statement, re.IGNORECASE)
        return named[1] if named else name


_STEP = re.compile(r"(?P<way>SCAN|SEARCH) (?P<name>\w+)")
_EXPLAINED = {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}


class Explaining(sqlite3.Connection):
    """A connection to SQLite that explains every statement."""

    steps: ClassVar[list[Step]] = []
    """The plans of all statements of all connections."""

    def cursor(self, factory: Any = None) -> Any:
        """Returns a cursor that does so."""
        return super().cursor(factory or _ExplainingCursor)

    def execute(self, statement: str, parameters: Any = (), /) -> Any:
        """Uses such a cursor, which the method of the module would not."""
        return self.cursor().execute(statement, parameters)


class _ExplainingCursor(sqlite3.Cursor):
    def execute(self, statement: str, parameters: Any = (), /) -> "_ExplainingCursor":
        super().execute(statement, parameters)
        # After the statement, because only a running statement notices that another connection has changed the tables.
        self._explain(statement, parameters)
        return self

    def executemany(self, statement: str, parameters: Any, /) -> "_ExplainingCursor":
        rows = list(parameters)
        super().executemany(statement, rows)
        if rows:
            self._explain(statement, rows[0])
        return self

    def _explain(self, statement: str, parameters: Any) -> None:
        if statement.split(maxsplit=1)[0].upper() in _EXPLAINED:
            rows = sqlite3.Cursor(self.connection).execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            Explaining.steps += [Step(statement, row[3]) for row in rows]
