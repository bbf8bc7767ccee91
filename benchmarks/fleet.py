"""Fills databases: many customers with their devices, made inside the database because that is quickest."""

from contextlib import closing
from dataclasses import dataclass, field

from sqlalchemy import create_engine, text

from benchmarks.works import FIRST, FREE, OWNED
from service.domain.keys import SCOPES
from service.storage import schema
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.organizations import Organizations

# What an import of all this would have left. `n` are the numbers, `i` a customer's places.
_ROWS = """
INSERT INTO customer
  (organization_id, id, email, email_key, name, created_at, revision, changed_at, device_count)
  SELECT :org, 'cust_' || n, 'customer' || n || '@example.com', 'customer' || n || '@example.com', 'bench',
    clock_timestamp(), 1, clock_timestamp(), :owned FROM {numbers};
INSERT INTO customer
  (organization_id, id, email, email_key, name, created_at, revision, changed_at, device_count)
  SELECT :org, 'cust_taker' || n, 'taker' || n || '@example.com', 'taker' || n || '@example.com', 'bench',
    clock_timestamp(), 0, clock_timestamp(), 0 FROM {numbers};
INSERT INTO device (organization_id, identifier, id, type, created_at)
  SELECT :org, {identifier}, 'dev_' || n || '_' || i, 'thermostat', clock_timestamp()
  FROM {numbers} CROSS JOIN {all_places};
INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
  SELECT :org, 'cust_' || n, {identifier}, 1 FROM {numbers} CROSS JOIN {places};
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
  SELECT :org, 'cust_' || n, 1, {identifier}, 1, 1 FROM {numbers} CROSS JOIN {places};
INSERT INTO operation
  (organization_id, id, kind, occurred_at, note, assigned_count, unassigned_count)
  VALUES (:org, 'op_1', 'import', clock_timestamp(), '', :assigned, 0);
INSERT INTO customer_revision
  (organization_id, customer_id, revision, operation_id, occurred_at, device_count)
  SELECT :org, 'cust_' || n, 1, 'op_1', clock_timestamp(), :owned FROM {numbers}
"""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A database with customers numbered from FIRST, and a key to it."""

    url: str
    organization_id: str
    api_key: str = field(repr=False)

    @property
    def postgresql(self) -> bool:
        """Tells the one kind of database from the other."""
        return self.url.startswith("postgresql")


def fill(url: str, count: int, owned: int = OWNED, free: int = FREE) -> Fleet:
    """Fills an empty database with so many customers, each with so many devices, and so many that nobody has."""
    postgresql = url.startswith("postgresql")
    with closing(Database(url)) as database:
        schema.upgrade(database)
        organization = Organizations(database).create("bench")
        secret = Keys(database).create(organization.id, SCOPES, None)[1]
        words = {
            "numbers": _series("n", FIRST, FIRST + count - 1, postgresql=postgresql),
            "places": _series("i", 0, owned - 1, postgresql=postgresql),
            "all_places": _series("i", 0, owned + free - 1, postgresql=postgresql),
            # Two digits at least, and as many as it takes.
            "identifier": "n || '-' || "
            + (
                "lpad(CAST(i AS text), greatest(2, length(CAST(i AS text))), '0')"
                if postgresql
                else "printf('%02d', i)"
            ),
        }
        values = {"org": organization.id, "owned": owned, "assigned": count * owned}
        with database.session() as connection:
            for statement in _ROWS.format(**words).replace(":org,", "CAST(:org AS text),").split(";"):
                used = {name: value for name, value in values.items() if f":{name}" in statement}
                connection.execute(text(statement), used)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("VACUUM ANALYZE" if postgresql else "ANALYZE"))
        if postgresql:
            connection.execute(text("CHECKPOINT"))
    engine.dispose()
    return Fleet(url, organization.id, secret)


def _series(name: str, first: int, last: int, *, postgresql: bool) -> str:
    if postgresql:
        return f"generate_series({first}, {last}) AS {name}_series ({name})"
    return (
        f"(WITH RECURSIVE s ({name}) AS (SELECT {first} UNION ALL SELECT {name} + 1 FROM s WHERE {name} < {last})"
        f" SELECT {name} FROM s) AS {name}_series"
    )
