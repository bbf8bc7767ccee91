"""Records of operations in PostgreSQL, and the locks that a revert needs."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy
from sqlalchemy import text

from service.storage.connection import Connection
from service.storage.statement import Statement

_RECORD_OPERATION = Statement(
    text("""
WITH delta AS (
  SELECT * FROM unnest(CAST(:customer_numbers AS bigint[]), CAST(:deltas AS integer[])) AS d (customer_number, value)
), moment AS (
  SELECT greatest(
    clock_timestamp() + CAST(:lead AS bigint) * interval '1 microsecond',
    max(changed_at) + interval '1 microsecond'
  ) AS occurred_at
  FROM customer
  WHERE organization_number = :organization_number AND number = ANY (CAST(:customer_numbers AS bigint[]))
), recorded AS (
  INSERT INTO operation
    (organization_number, id, kind, occurred_at, key_id, note, assigned_count, unassigned_count,
     reverts_operation_id)
  SELECT CAST(:organization_number AS bigint), CAST(:id AS text), CAST(:kind AS text), occurred_at,
    CAST(:key_id AS text), CAST(:note AS text), CAST(:assigned_count AS integer),
    CAST(:unassigned_count AS integer), CAST(:reverts_operation_id AS text)
  FROM moment
), moved AS (
  UPDATE customer
  SET revision = revision + 1, changed_at = moment.occurred_at, device_count = device_count + delta.value
  FROM delta, moment
  WHERE organization_number = :organization_number AND number = delta.customer_number
  RETURNING number, revision, device_count, changed_at
)
INSERT INTO customer_revision
  (organization_number, customer_number, revision, occurred_at, device_count, operation_id)
SELECT CAST(:organization_number AS bigint), number, revision, changed_at, device_count, CAST(:id AS text) FROM moved
""")
)


def _page(table: str, revision: str, change: int) -> str:
    return f"""
    (SELECT device_identifier, {change} AS change FROM {table}
     WHERE organization_number = :organization_number AND customer_number = made.customer_number
       AND {revision} = made.revision AND device_identifier > made.after_device
     ORDER BY device_identifier LIMIT :limit)"""  # noqa: S608  # of this module's texts


# Reads at most a page of each customer's changes: an operation may have changed a million devices of one customer.
_OPERATION_CHANGES = Statement(
    text(f"""
SELECT (
    SELECT id FROM customer
    WHERE organization_number = :organization_number AND number = page.customer_number
  ), page.device_identifier, page.change
FROM (
  SELECT made.customer_number, listed.device_identifier, listed.change
  FROM (
    SELECT customer_number, revision,
      CASE customer_number WHEN :after_customer THEN :after_device ELSE '' END AS after_device
    FROM customer_revision
    WHERE organization_number = :organization_number AND operation_id = :operation_id
      AND customer_number >= :after_customer
    ORDER BY customer_number
  ) AS made
  CROSS JOIN LATERAL (
    SELECT device_identifier, change FROM (
      {_page("assignment", "assigned_revision", 1)}
      UNION ALL {_page("past_assignment", "assigned_revision", 1)}
      UNION ALL {_page("past_assignment", "unassigned_revision", 2)}
    ) AS changes
    ORDER BY device_identifier LIMIT :limit
  ) AS listed
  ORDER BY made.customer_number, listed.device_identifier LIMIT :limit
) AS page
ORDER BY page.customer_number, page.device_identifier
""")  # noqa: S608  # of this module's texts
)


def _changed(table: str, revision: str, change: int) -> str:
    return f"""
  (SELECT device_identifier, {change} AS change FROM {table}
   WHERE organization_number = :organization_number AND customer_number = r.customer_number AND {revision} = r.revision
   ORDER BY device_identifier)"""  # noqa: S608  # of this module's texts


# OFFSET 0, here and below, makes the planner read the tables on the right once for each row on the left, and the order
# makes it read them by the index that has this order. Otherwise it reads whole tables, because it expects as many rows
# of each revision as a first revision has, to which most assignments of many customers belong.
_CHANGES_OF_OPERATION = f"""
SELECT r.customer_number, ch.device_identifier, ch.change, r.revision
FROM customer_revision AS r CROSS JOIN LATERAL (
  {_changed("assignment", "assigned_revision", 1)}
  UNION ALL {_changed("past_assignment", "assigned_revision", 1)}
  UNION ALL {_changed("past_assignment", "unassigned_revision", 2)}
  OFFSET 0
) AS ch
WHERE r.organization_number = :organization_number AND r.operation_id = :operation_id
"""  # noqa: S608  # of this module's texts

# Locked in the order of the numbers, as in every transaction that locks several customers, so that none deadlock.
# The present owners of the devices are locked too, because another transaction may be unassigning a device from them.
# ANY (ARRAY (…)) instead of IN: for IN the planner expects so many rows that it reads all the organisation's customers.
_LOCK_REVERTED_CUSTOMERS = text(f"""
SELECT c.number FROM customer AS c
WHERE c.organization_number = :organization_number AND c.number = ANY (ARRAY (
  SELECT customer_number FROM customer_revision
  WHERE organization_number = :organization_number AND operation_id = :operation_id
  UNION
  SELECT owner.customer_number
  FROM ({_CHANGES_OF_OPERATION}) AS d CROSS JOIN LATERAL (
    SELECT customer_number FROM assignment
    WHERE organization_number = :organization_number AND device_identifier = d.device_identifier
    OFFSET 0
  ) AS owner))
ORDER BY c.number FOR NO KEY UPDATE OF c
""")  # noqa: S608  # of this module's texts

# An array for each customer: for a join of the two tables the planner may read all assignments of the organisation.
_DELETE_REVERTED = """
DELETE FROM assignment USING (
  SELECT customer_number, array_agg(device_identifier) AS identifiers FROM revert_change WHERE change = 1
  GROUP BY customer_number
) AS ended
WHERE assignment.organization_number = :organization_number AND assignment.customer_number = ended.customer_number
  AND assignment.device_identifier = ANY (ended.identifiers)
"""

_LOCK_REVERTED_DEVICES = text("""
SELECT count(*) FROM (
  SELECT 1 FROM device
  WHERE organization_number = :organization_number
    AND identifier = ANY (ARRAY (SELECT DISTINCT device_identifier FROM revert_change))
  ORDER BY identifier FOR UPDATE
) AS locked
""")


class OperationStatements:
    """See `backend.Backend`."""

    changes_of_operation = _CHANGES_OF_OPERATION
    delete_reverted = _DELETE_REVERTED

    def record_operation(
        self, connection: Connection, operation: Mapping[str, Any], deltas: Mapping[int, int], *, lead: timedelta
    ) -> None:
        """Reads the clock and writes every table in one statement, which is sent with the commit."""
        parameters = {
            **operation,
            "customer_numbers": list(deltas),
            "deltas": list(deltas.values()),
            "lead": lead // timedelta(microseconds=1),
        }
        connection.defer(_RECORD_OPERATION, parameters)

    def operation_changes(self, connection: Connection, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Uses a lateral join."""
        return connection.rows(_OPERATION_CHANGES, parameters)

    def lock_reverted_customers(self, connection: sqlalchemy.Connection, operation: Mapping[str, Any]) -> None:
        """Locks rows of customers."""
        connection.execute(_LOCK_REVERTED_CUSTOMERS, operation).close()

    def lock_reverted_devices(self, connection: sqlalchemy.Connection, operation: Mapping[str, Any]) -> None:
        """Locks rows of devices. A transaction that assigns one holds a lock on its row, through the foreign key."""
        connection.execute(_LOCK_REVERTED_DEVICES, operation).close()
