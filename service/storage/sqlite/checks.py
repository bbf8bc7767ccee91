"""What `db check` reports of SQLite: one function for each line. A new one is added to `CHECKS`."""

from collections.abc import Sequence

import sqlalchemy
from sqlalchemy import text

from service.storage.checkup import Check, Demand, Finding, State

_FULL = 2


def version(connection: sqlalchemy.Connection, _demand: Demand) -> Finding:
    """Names the version."""
    return Finding(State.OK, f"SQLite {connection.execute(text('SELECT sqlite_version()')).scalar_one()}")


def durable(connection: sqlalchemy.Connection, _demand: Demand) -> Finding:
    """Looks how this service's connections sync."""
    synchronous = connection.execute(text("PRAGMA synchronous")).scalar_one()
    if synchronous < _FULL:
        return Finding(State.WARNING, "SQLite does not sync at each commit: a crash can undo calls that were answered")
    return Finding(State.OK, "each commit is synced to the disk")


CHECKS: Sequence[Check] = (version, durable)
