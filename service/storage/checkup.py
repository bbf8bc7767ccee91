"""What `db check` reports of a database: one function for each line of the report, and what a line says."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy import func, select

from service.storage.types import Instant

if TYPE_CHECKING:
    from service.storage.database import Database

_APART_SECONDS = 1.0
_QUESTIONS = 3


class State(Enum):
    """How well it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: a sentence that says what is, and what to mend if it is not well."""

    state: State
    text: str


@dataclass(frozen=True, slots=True)
class Demand:
    """What the servers will want of the database.

    Attributes:
        connections: how many connections all workers of this machine open.
        remedy: how to want fewer.
    """

    connections: int
    remedy: str


Check = Callable[[sqlalchemy.Connection, Demand], Finding]
"""Makes one line of the report, and changes nothing."""


def findings(database: "Database", demand: Demand) -> list[Finding]:
    """Makes the lines of the report: those of every database, and those of this kind (`Backend.checks`).

    Raises:
        DatabaseUnavailable, Overloaded: as `Database.session` does.
    """
    found = [Finding(State.OK, f"the database answers: {database.backend.place}")]
    for check in (*database.backend.checks, clock):
        with database.session(write=False) as connection:
            found.append(check(connection, demand))
    found.append(_writes(database))
    return found


def _writes(database: "Database") -> Finding:
    if database.writable():
        return Finding(State.OK, "the database takes writes")
    return Finding(
        State.WARNING,
        "the database takes no writes: calls that write will fail; point DATABASE_URL at the primary, or make the "
        "database writable, unless this server is to serve reads alone",
    )


def clock(connection: sqlalchemy.Connection, _demand: Demand) -> Finding:
    """Compares the clocks by the question that was answered fastest, as its answer is known best."""
    asked = []
    for _ in range(_QUESTIONS):
        began = time.monotonic()
        before = datetime.now(UTC)
        there: datetime = connection.execute(select(func.clock_timestamp(type_=Instant))).scalar_one()
        took = time.monotonic() - began
        asked.append((took, (there - before).total_seconds() - took / 2))
    took, apart = min(asked)
    if abs(apart) - took / 2 <= _APART_SECONDS:
        return Finding(State.OK, "the clocks of the database and of this machine agree")
    return Finding(
        State.WARNING,
        f"the database's clock is {abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} this machine's: times in "
        "answers are the database's; synchronise both with NTP",
    )
