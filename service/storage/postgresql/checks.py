"""What `db check` reports of PostgreSQL: one function for each line. A new one is added to `CHECKS`."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import text

from service.storage.checkup import Check, Demand, Finding, State
from service.storage.postgresql import privileges
from service.storage.postgresql.connection_limit import smallest_limit
from service.storage.tables import metadata

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


def user(connection: sqlalchemy.Connection, _demand: Demand) -> Finding:
    """Names the privileges that the user lacks."""
    if missing := privileges.missing(connection, sorted(metadata.tables)):
        return Finding(State.PROBLEM, privileges.sentence(missing))
    return Finding(State.OK, "the user of the database has all privileges that the service needs")


def pooler(connection: sqlalchemy.Connection, _demand: Demand) -> Finding:
    """Compares the process that answers with the one that a pooler, if there is one, names to its client."""
    driver: Any = connection.connection.driver_connection
    if connection.execute(text("SELECT pg_backend_pid()")).scalar_one() == driver.info.backend_pid:
        return Finding(State.OK, "there is no pooler before the database")
    return Finding(State.OK, "a pooler stands before the database and runs transactions as a whole")


CHECKS: Sequence[Check] = (version, user, pooler, *map(_durable, _DANGERS), connections)
