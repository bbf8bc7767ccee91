"""What `db check` reports of PostgreSQL: one function for each line. A new one is added to `CHECKS`."""

from collections.abc import Sequence

import sqlalchemy
from sqlalchemy import text

from service.storage.checkup import Check, Demand, Finding, State
from service.storage.postgresql.connection_limit import smallest_limit

# Settings under which a crash undoes what was confirmed.
_DANGERS = {
    "synchronous_commit": "after a crash of the database, calls that were answered can be undone",
    "fsync": "after a crash of the machine, the database can be damaged",
    "full_page_writes": "after a crash of the machine, the database can be damaged",
}


def version(connection: sqlalchemy.Connection, _demand: Demand) -> Finding:
    """Names the version."""
    return Finding(State.OK, f"PostgreSQL {connection.execute(text('SHOW server_version')).scalar_one()}")


def _durable(name: str) -> Check:
    def check(connection: sqlalchemy.Connection, _demand: Demand) -> Finding:
        value = connection.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one()
        if value == "off":
            return Finding(State.WARNING, f"{name} is off: {_DANGERS[name]}; set {name} to on")
        return Finding(State.OK, f"{name} is {value}")

    return check


def connections(connection: sqlalchemy.Connection, demand: Demand) -> Finding:
    """Compares the connections of this machine's workers with what the database allows at most."""
    allowed, set_by = smallest_limit(connection)
    if demand.connections <= allowed:
        return Finding(State.OK, f"{demand.connections} connections are wanted here, and {allowed} are allowed")
    return Finding(
        State.PROBLEM,
        f"{demand.connections} connections are wanted here, and {set_by} allows {allowed}: raise it, or "
        f"{demand.remedy}",
    )


CHECKS: Sequence[Check] = (version, *map(_durable, _DANGERS), connections)
