"""Finds what an operation did and does the opposite, in statements on whole sets of devices."""

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, SmallInteger, Table, text
from sqlalchemy.schema import CreateTable, DropTable

from service.domain.values import Revertible
from service.storage.backend import Backend
from service.storage.numbers import CustomerNumbers
from service.storage.types import Ordered

_metadata = MetaData()

# What the operation did to the devices that can be reverted.
_change = Table(
    "revert_change",
    _metadata,
    Column("customer_number", BigInteger),
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


def _later(table: str, revision: str) -> str:
    """Writes a subquery: 1 if a revert of the operation has changed the device since, 0 if another has, or NULL."""
    return f"""(
    SELECT max(CASE WHEN (
      SELECT o.reverts_operation_id FROM operation AS o
      WHERE o.organization_number = :organization_number AND o.id = r.operation_id) = :operation_id THEN 1 ELSE 0 END)
    FROM {table} AS later CROSS JOIN customer_revision AS r
    WHERE later.organization_number = :organization_number AND later.device_identifier = d.device_identifier
      AND r.organization_number = :organization_number AND r.customer_number = later.customer_number
      AND r.revision = later.{revision} AND r.operation_id <> :operation_id
      AND r.occurred_at >= (
        SELECT occurred_at FROM operation WHERE organization_number = :organization_number AND id = :operation_id)
  )"""  # noqa: S608  # of this module's texts


# An operation in the same microsecond counts as later: not to revert a device is always safe.
# A subquery for each device: for a join the planner chooses to read every change of the organisation.
_FIND_LEFT = text(f"""
INSERT INTO revert_left (device_identifier, already_reverted)
WITH found AS MATERIALIZED (
  SELECT d.device_identifier,
    {_later("assignment", "assigned_revision")} AS present,
    {_later("past_assignment", "assigned_revision")} AS begun,
    {_later("past_assignment", "unassigned_revision")} AS ended
  FROM (SELECT DISTINCT device_identifier FROM revert_change) AS d
)
SELECT device_identifier,
  CASE WHEN coalesce(present, 0) + coalesce(begun, 0) + coalesce(ended, 0) > 0 THEN 1 ELSE 0 END
FROM found WHERE coalesce(present, begun, ended) IS NOT NULL
""")  # noqa: S608  # of this module's texts

# CROSS JOIN, here and below, makes SQLite read the tables in this order.
_LEAVE = text("DELETE FROM revert_change WHERE device_identifier IN (SELECT device_identifier FROM revert_left)")

# An assignment that is ended here began with the operation that is reverted: its device has not changed since.
_KEEP_ENDED = text("""
INSERT INTO past_assignment
  (organization_number, customer_number, assigned_revision, unassigned_revision, device_identifier)
SELECT c.organization_number, c.number, s.revision, c.revision + 1, s.device_identifier
FROM revert_change AS s CROSS JOIN customer AS c
WHERE s.change = 1 AND c.organization_number = :organization_number AND c.number = s.customer_number
ORDER BY 2, 5
""")

_BEGIN = text("""
INSERT INTO assignment (organization_number, customer_number, assigned_revision, device_identifier)
SELECT c.organization_number, c.number, c.revision + 1, s.device_identifier
FROM revert_change AS s CROSS JOIN customer AS c
WHERE s.change = 2 AND c.organization_number = :organization_number AND c.number = s.customer_number
ORDER BY 2, 4
""")

_DELTAS = text("""
SELECT c.id, c.number, s.began, s.ended
FROM (
  SELECT customer_number, sum(CASE change WHEN 2 THEN 1 ELSE 0 END) AS began,
    sum(CASE change WHEN 1 THEN 1 ELSE 0 END) AS ended
  FROM revert_change GROUP BY customer_number
) AS s CROSS JOIN customer AS c
WHERE c.organization_number = :organization_number AND c.number = s.customer_number
""")


def prepare(
    connection: Connection, backend: Backend, organization_number: int, operation_id: str, shown: int
) -> Revertible:
    """Locks the operation's customers and devices, and separates the devices that can be reverted from the others."""
    which = {"organization_number": organization_number, "operation_id": operation_id}
    backend.lock_reverted_customers(connection, which)
    for table in (_change, _left):
        # Of an earlier revert in the same session of SQLite, which keeps temporary tables.
        connection.execute(DropTable(table, if_exists=True))
        connection.execute(CreateTable(table))
    connection.execute(
        text(
            "INSERT INTO revert_change (customer_number, device_identifier, change, revision)"
            f" {backend.changes_of_operation}"
        ),
        which,
    )
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


def apply(connection: Connection, backend: Backend, numbers: CustomerNumbers) -> tuple[dict[str, int], int, int]:
    """Does the opposite of the operation to the devices that `prepare` found.

    Returns:
        By how much each customer's number of devices changed, how many assignments began, and how many ended.
    """
    which = {"organization_number": numbers.organization}
    connection.execute(text("ANALYZE revert_change"))
    for statement in (_KEEP_ENDED, text(backend.delete_reverted), _BEGIN):
        connection.execute(statement, which)
    began_count = ended_count = 0
    deltas: dict[str, int] = {}
    for customer_id, number, began, ended in connection.execute(_DELTAS, which):
        numbers.add(customer_id, number)
        deltas[customer_id] = int(began) - int(ended)
        began_count += int(began)
        ended_count += int(ended)
    return deltas, began_count, ended_count
