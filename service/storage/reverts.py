"""Finds and does the opposite of an operation, set by set, without bringing its devices here."""

from sqlalchemy import Connection, text

from service.domain.values import Revertible

# In the order of the ids, as every transaction that locks several customers does.
# The devices' present owners are locked too: what they are giving up at this moment is a change since.
# ANY (ARRAY (…)), because of IN the planner expects so many that it reads all of the organisation's customers.
_LOCK_CUSTOMERS = text("""
SELECT c.id FROM customer AS c
WHERE c.organization_id = :organization_id AND c.id = ANY (ARRAY (
  SELECT r.customer_id FROM customer_revision AS r
  WHERE r.organization_id = :organization_id AND r.operation_id = :operation_id
  UNION
  SELECT a.customer_id
  FROM customer_revision AS r CROSS JOIN assignment_change AS ch CROSS JOIN assignment AS a
  WHERE r.organization_id = :organization_id AND r.operation_id = :operation_id
    AND ch.organization_id = :organization_id AND ch.customer_id = r.customer_id AND ch.revision = r.revision
    AND a.organization_id = :organization_id AND a.device_identifier = ch.device_identifier))
ORDER BY c.id FOR NO KEY UPDATE OF c
""")

_LOCK_DEVICES = text("""
SELECT count(*) FROM (
  SELECT 1 FROM device
  WHERE organization_id = :organization_id
    AND identifier = ANY (ARRAY (SELECT DISTINCT device_identifier FROM revert_change))
  ORDER BY identifier FOR UPDATE
) AS locked
""")

# CROSS JOIN, here and below: SQLite takes the tables in this order then.
_FIND_CHANGES = text("""
INSERT INTO revert_change (customer_id, device_identifier, change, revision)
SELECT ch.customer_id, ch.device_identifier, ch.change, ch.revision
FROM customer_revision AS r CROSS JOIN assignment_change AS ch
WHERE r.organization_id = :organization_id AND r.operation_id = :operation_id
  AND ch.organization_id = :organization_id AND ch.customer_id = r.customer_id AND ch.revision = r.revision
""")

# Another operation at the same microsecond is taken for a later one: leaving a device alone is always safe.
# Device by device: joined, the planner would rather read what has ever happened in the organisation.
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

# What ends began with the operation that is undone: nothing has happened to its device since.
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


def prepare(connection: Connection, organization_id: str, operation_id: str, shown: int) -> Revertible:
    """Locks the operation's customers and sets its devices apart: those that can go back, and those that cannot."""
    postgresql = connection.dialect.name == "postgresql"
    which = {"organization_id": organization_id, "operation_id": operation_id}
    if postgresql:
        # SQLite has only one writer: there is nothing to hold still.
        connection.execute(_LOCK_CUSTOMERS, which).close()
    for name, columns in (
        ("revert_change", "customer_id text, device_identifier text, change smallint, revision bigint"),
        ("revert_left", "device_identifier text, already_reverted integer"),
    ):
        collated = columns.replace("text", 'text COLLATE "C"') if postgresql else columns
        connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
        connection.execute(
            text(f"CREATE TEMPORARY TABLE {name} ({collated})" + (" ON COMMIT DROP" if postgresql else ""))
        )
    connection.execute(_FIND_CHANGES, which)
    connection.execute(text("ANALYZE revert_change"))
    if postgresql:
        # Whoever gives one of these devices to somebody at this moment holds a lock on it, through the foreign key.
        connection.execute(_LOCK_DEVICES, which).close()
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
    """Does the opposite to the devices that `prepare` found. Gives each customer's difference, and the two counts."""
    who = {"organization_id": organization_id}
    connection.execute(text("ANALYZE revert_change"))
    for statement in (_LOG_ENDS, _END, _BEGIN, _LOG_BEGINNINGS):
        connection.execute(statement, who)
    rows = connection.execute(_DELTAS).all()
    deltas = {row[0]: int(row[1]) - int(row[2]) for row in rows}
    return deltas, sum(int(row[1]) for row in rows), sum(int(row[2]) for row in rows)
