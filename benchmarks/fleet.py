"""Fills databases: many customers with their devices, made inside the database because that is quickest."""

from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from benchmarks.works import FIRST, OWNED
from service.domain.keys import SCOPES
from service.storage import schema
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.organizations import Organizations

# What an import of all this would have left. `n` are the numbers, `i` a customer's places.
_ROWS = """
INSERT INTO customer
  (organization_id, id, email, email_key, name, created_at, revision, changed_at, device_count)
  SELECT CAST(:org AS text), 'cust_' || n, 'customer' || n || '@example.com', 'customer' || n || '@example.com',
    'bench', clock_timestamp(), 1, clock_timestamp(), :owned FROM {numbers};
INSERT INTO customer
  (organization_id, id, email, email_key, name, created_at, revision, changed_at, device_count)
  SELECT CAST(:org AS text), 'cust_target' || n, 'target' || n || '@example.com', 'target' || n || '@example.com',
    'bench', clock_timestamp(), 0, clock_timestamp(), 0 FROM {numbers};
INSERT INTO device (organization_id, identifier, id, type, created_at)
  SELECT CAST(:org AS text), {identifier}, 'dev_' || n || '_' || i, 'thermostat', clock_timestamp()
  FROM {numbers} CROSS JOIN {all_places};
INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
  SELECT CAST(:org AS text), 'cust_' || n, {identifier}, 1 FROM {numbers} CROSS JOIN {places};
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
  SELECT CAST(:org AS text), 'cust_' || n, 1, {identifier}, 1, 1 FROM {numbers} CROSS JOIN {places};
INSERT INTO operation
  (organization_id, id, kind, occurred_at, note, assigned_count, unassigned_count)
  VALUES (:org, :operation, 'import', clock_timestamp(), '', :assigned, 0);
INSERT INTO customer_revision
  (organization_id, customer_id, revision, operation_id, occurred_at, device_count)
  SELECT CAST(:org AS text), 'cust_' || n, 1, :operation, clock_timestamp(), :owned FROM {numbers}
"""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A database with customers, and a key to it."""

    url: str
    organization_id: str
    api_key: str = field(repr=False)

    @property
    def postgresql(self) -> bool:
        """Distinguishes the two kinds of database."""
        return self.url.startswith("postgresql")

    def add(self, first: int, count: int, owned: int = OWNED, free: int = 0) -> None:
        """Adds customers of so many numbers, each with so many devices, and devices that nobody has."""
        words = {
            "numbers": self._series("n", first, first + count - 1),
            "places": self._series("i", 0, owned - 1),
            "all_places": self._series("i", 0, owned + free - 1),
            # Two digits at least, and as many as it takes.
            "identifier": "n || '-' || lpad(CAST(i AS text), greatest(2, length(CAST(i AS text))), '0')"
            if self.postgresql
            else "n || '-' || printf('%02d', i)",
        }
        values = {
            "org": self.organization_id,
            "owned": owned,
            "assigned": count * owned,
            "operation": f"op_{first}",
        }
        with closing(Database(self.url)) as database, database.session() as connection:
            if self.postgresql:
                _without_foreign_keys(connection)
            for statement in _ROWS.format(**words).split(";"):
                used = {name: value for name, value in values.items() if f":{name}" in statement}
                connection.execute(text(statement), used)

    def settle(self) -> None:
        """Does what the database does by itself some time after large changes, so that it does not do it meanwhile."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("VACUUM ANALYZE" if self.postgresql else "ANALYZE"))
            if self.postgresql:
                connection.execute(text("CHECKPOINT"))
        engine.dispose()

    def _series(self, name: str, first: int, last: int) -> str:
        if self.postgresql:
            return f"generate_series({first}, {last}) AS {name}_series ({name})"
        return (
            f"(WITH RECURSIVE s ({name}) AS (SELECT {first} UNION ALL SELECT {name} + 1 FROM s WHERE {name} < {last})"
            f" SELECT {name} FROM s) AS {name}_series"
        )

    def one(self, statement: str, **parameters: Any) -> tuple[Any, ...]:
        """Reads one row."""
        with closing(Database(self.url)) as database, database.session(write=False) as connection:
            return tuple(connection.execute(text(statement), parameters).one())


def empty_fleet(url: str) -> Fleet:
    """Makes an organisation and a key in an empty database."""
    with closing(Database(url)) as database:
        schema.upgrade(database)
        organization = Organizations(database).create("bench")
        return Fleet(url, organization.id, Keys(database).create(organization.id, SCOPES, None)[1])


def fill(url: str, count: int, owned: int = OWNED, free: int = 0) -> Fleet:
    """Fills an empty database with customers, numbered from FIRST; see `Fleet.add`."""
    fleet = empty_fleet(url)
    fleet.add(FIRST, count, owned, free)
    fleet.settle()
    return fleet


def _without_foreign_keys(connection: Connection) -> None:
    """Saves half of the time, where the user may do it: the rows agree with each other."""
    try:
        with connection.begin_nested():
            connection.execute(text("SET LOCAL session_replication_role = replica"))
    except DBAPIError:
        return
