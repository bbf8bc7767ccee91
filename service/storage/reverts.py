"""Finds what an operation did and does the opposite, in statements on whole sets of devices."""

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, SmallInteger, Table, text
from sqlalchemy.schema import CreateTable, DropTable

from service.domain.values import Revertible
from service.storage.backend import Backend
from service.storage.types import Ordered

_metadata = MetaData()

# What the operation did to the devices that can be reverted.
_change = Table(
    "revert_change",
    _metadata,
    Column("customer_id", Ordered),
    Column("device_identifier", Ordered),
    Column("change", SmallInteger),
    Column("revision", BigInteger),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)

# The devices that cannot be reverted, because a later operation has changed their assignments.
_left = Table(
    "revert_left",
    _metadata,
    Column("device_identifier", Ordered),
    Column("already_reverted", Integer),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)

# CROSS JOIN, here and below, makes SQLite read the tables in this order.
_FIND_CHANGES = text("""
INSERT INTO revert_change (customer_id, device_identifier, change, revision)
SELECT ch.customer_id, ch.device_identifier, ch.change, ch.revision
FROM customer_revision AS r CROSS JOIN assignment_change AS ch
WHERE r.organization_id = :organization_id AND r.operation_id = :operation_id
  AND ch.organization_id = :organization_id AND ch.customer_id = r.customer_id AND ch.revision = r.revision
""")

# An operation in the same microsecond counts as later: not to revert a device is always safe.
# A subquery for each device: for a join the planner chooses to read every change of the organisation.
_FIND_LEFT = text("""
INSERT INTO revert_left (device_identifier, already_reverted)
WITH found AS MATERIALIZED (
  SELECT d.device_identifier, (
    SELECT max(CASE WHEN (
      SELECT o.reverts_operation_id FROM operation AS o
      WHERE o.organization_id = :organization_id AND o.id = r.operation_id) = :operation_id THEN 1 ELSE 0 END)
    FROM assignment_change AS later CROSS JOIN customer_revision AS r
    WHERE later.organization_id = :organization_id AND later.device_identifier = d.device_identifier
      AND r.organization_id = :organization_id AND r.customer_id = later.customer_id AND r.revision = later.revision
      AND r.operation_id <> :operation_id
      AND r.occurred_at >= (
        SELECT occurred_at FROM operation WHERE organization_id = :organization_id AND id = :operation_id)
  ) AS already_reverted
  FROM (SELECT DISTINCT device_identifier FROM revert_change) AS d
)
SELECT device_identifier, already_reverted FROM found WHERE already_reverted IS NOT NULL
""")

_LEAVE = text("DELETE FROM revert_change WHERE device_identifier IN (SELECT device_identifier FROM revert_left)")

# An assignment that is ended here began with the operation that is reverted: its device has not changed since.
_LOG_ENDS = text("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT c.organization_id, c.id, c.revision + 1, s.device_identifier, 2, s.revision
FROM revert_change AS s CROSS JOIN customer AS c
WHERE s.change = 1 AND c.organization_id = :organization_id AND c.id = s.customer_id
""")

_END = text("""
DELETE FROM assignment
WHERE organization_id = :organization_id AND (customer_id, device_identifier) IN (
  SELECT customer_id, device_identifier FROM revert_change WHERE change = 1)
""")

_BEGIN = text("""
INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
SELECT c.organization_id, c.id, s.device_identifier, c.revision + 1
FROM revert_change AS s CROSS JOIN customer AS c
WHERE s.change = 2 AND c.organization_id = :organization_id AND c.id = s.customer_id
""")

_LOG_BEGINNINGS = text("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT c.organization_id, c.id, c.revision + 1, s.device_identifier, 1, c.revision + 1
FROM revert_change AS s CROSS JOIN customer AS c
WHERE s.change = 2 AND c.organization_id = :organization_id AND c.id = s.customer_id
""")

_DELTAS = text("""
SELECT customer_id, sum(CASE change WHEN 2 THEN 1 ELSE 0 END), sum(CASE change WHEN 1 THEN 1 ELSE 0 END)
FROM revert_change GROUP BY customer_id
""")


def prepare(
    connection: Connection, backend: Backend, organization_id: str, operation_id: str, shown: int
) -> Revertible:
    """Locks the operation's customers and devices, and separates the devices that can be reverted from the others."""
    which = {"organization_id": organization_id, "operation_id": operation_id}
    backend.lock_reverted_customers(connection, which)
    for table in (_change, _left):
        # Of an earlier revert in the same session of SQLite, which keeps temporary tables.
        connection.execute(DropTable(table, if_exists=True))
        connection.execute(CreateTable(table))
    connection.execute(_FIND_CHANGES, which)
    connection.execute(text("ANALYZE revert_change"))
    backend.lock_reverted_devices(connection, which)
    connection.execute(_FIND_LEFT, which)
    connection.execute(text("ANALYZE revert_left"))
    connection.execute(_LEAVE)
    count = connection.execute(text("SELECT count(DISTINCT device_identifier) FROM revert_change")).scalar_one()
    left_count = connection.execute(text("SELECT count(*) FROM revert_left")).scalar_one()
    left = connection.execute(
        text("SELECT device_identifier, already_reverted FROM revert_left ORDER BY device_identifier LIMIT :shown"),
        {"shown": shown},
    )
    return Revertible(count, left_count, [(row[0], bool(row[1])) for row in left])


def apply(connection: Connection, organization_id: str) -> tuple[dict[str, int], int, int]:
    """Does the opposite of the operation to the devices that `prepare` found.

    Returns:
        By how much each customer's number of devices changed, how many assignments began, and how many ended.
    """
    who = {"organization_id": organization_id}
    connection.execute(text("ANALYZE revert_change"))
    for statement in (_LOG_ENDS, _END, _BEGIN, _LOG_BEGINNINGS):
        connection.execute(statement, who)
    rows = connection.execute(_DELTAS).all()
    deltas = {row[0]: int(row[1]) - int(row[2]) for row in rows}
    return deltas, sum(int(row[1]) for row in rows), sum(int(row[2]) for row in rows)
