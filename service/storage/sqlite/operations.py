"""Records of operations in SQLite, table by table."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy
from sqlalchemy import text

from service.storage.connection import Connection
from service.storage.statement import Statement

_OCCURRED_AT = Statement(
    text("""
SELECT max(clock_timestamp() + :lead, coalesce(max(changed_at), 0) + 1) FROM customer
WHERE organization_number = :organization_number AND number IN (SELECT CAST(key AS integer) FROM json_each(:deltas))
""")
)

_INSERT_OPERATION = Statement(
    text("""
INSERT INTO operation
  (organization_number, id, kind, occurred_at, key_id, note, assigned_count, unassigned_count, reverts_operation_id)
VALUES
  (:organization_number, :id, :kind, :occurred_at, :key_id, :note, :assigned_count, :unassigned_count,
   :reverts_operation_id)
""")
)

_MOVE_CUSTOMER = Statement(
    text("""
UPDATE customer SET revision = revision + 1, changed_at = :occurred_at, device_count = device_count + :delta
WHERE organization_number = :organization_number AND number = :customer_number
""")
)

_INSERT_REVISIONS = Statement(
    text("""
INSERT INTO customer_revision
  (organization_number, customer_number, revision, occurred_at, device_count, operation_id)
SELECT organization_number, number, revision, :occurred_at, device_count, :id FROM customer
WHERE organization_number = :organization_number AND number IN (SELECT CAST(key AS integer) FROM json_each(:deltas))
""")
)


def _page(table: str, revision: str, change: int) -> str:
    return f"""
  SELECT made.customer_number, listed.device_identifier, {change} AS change
  FROM made CROSS JOIN {table} AS listed
  WHERE listed.organization_number = :organization_number AND listed.customer_number = made.customer_number
    AND listed.{revision} = made.revision AND listed.device_identifier IN (
      SELECT device_identifier FROM {table}
      WHERE organization_number = :organization_number AND customer_number = made.customer_number
        AND {revision} = made.revision AND device_identifier > made.after_device
      ORDER BY device_identifier LIMIT :limit)"""  # noqa: S608  # of this module's texts


# Reads at most a page of each customer's changes: an operation may have changed a million devices of one customer.
_OPERATION_CHANGES = Statement(
    text(f"""
WITH made AS MATERIALIZED (
  SELECT customer_number, revision,
    CASE customer_number WHEN :after_customer THEN :after_device ELSE '' END AS after_device
  FROM customer_revision
  WHERE organization_number = :organization_number AND operation_id = :operation_id
    AND customer_number >= :after_customer
  ORDER BY customer_number LIMIT :limit + 1
)
SELECT (
    SELECT id FROM customer
    WHERE organization_number = :organization_number AND number = page.customer_number
  ), device_identifier, change
FROM ({_page("assignment", "assigned_revision", 1)}
  UNION ALL {_page("past_assignment", "assigned_revision", 1)}
  UNION ALL {_page("past_assignment", "unassigned_revision", 2)}
  ORDER BY 1, 2 LIMIT :limit
) AS page
ORDER BY page.customer_number, page.device_identifier
""")  # noqa: S608  # of this module's texts
)


# CROSS JOIN makes SQLite read the tables in this order.
_CHANGES_OF_OPERATION = """
SELECT r.customer_number, a.device_identifier, 1, r.revision
FROM customer_revision AS r CROSS JOIN assignment AS a
WHERE r.organization_number = :organization_number AND r.operation_id = :operation_id
  AND a.organization_number = :organization_number AND a.customer_number = r.customer_number
  AND a.assigned_revision = r.revision
UNION ALL
SELECT r.customer_number, p.device_identifier, 1, r.revision
FROM customer_revision AS r CROSS JOIN past_assignment AS p
WHERE r.organization_number = :organization_number AND r.operation_id = :operation_id
  AND p.organization_number = :organization_number AND p.customer_number = r.customer_number
  AND p.assigned_revision = r.revision
UNION ALL
SELECT r.customer_number, p.device_identifier, 2, r.revision
FROM customer_revision AS r CROSS JOIN past_assignment AS p
WHERE r.organization_number = :organization_number AND r.operation_id = :operation_id
  AND p.organization_number = :organization_number AND p.customer_number = r.customer_number
  AND p.unassigned_revision = r.revision
"""


_DELETE_REVERTED = """
DELETE FROM assignment
WHERE organization_number = :organization_number AND (customer_number, device_identifier) IN (
  SELECT customer_number, device_identifier FROM revert_change WHERE change = 1)
"""


class OperationStatements:
    """See `backend.Backend`."""

    changes_of_operation = _CHANGES_OF_OPERATION
    delete_reverted = _DELETE_REVERTED

    def record_operation(
        self, connection: Connection, operation: Mapping[str, Any], deltas: Mapping[int, int], *, lead: timedelta
    ) -> None:
        """Reads the clock, then writes table by table."""
        who = {"organization_number": operation["organization_number"], "deltas": json.dumps(deltas)}
        ((occurred_at,),) = connection.rows(_OCCURRED_AT, {**who, "lead": lead // timedelta(microseconds=1)})
        connection.count(_INSERT_OPERATION, {**operation, "occurred_at": occurred_at})
        shared = {"organization_number": operation["organization_number"], "occurred_at": occurred_at}
        for customer_number, delta in deltas.items():
            connection.count(_MOVE_CUSTOMER, {**shared, "customer_number": customer_number, "delta": delta})
        connection.count(_INSERT_REVISIONS, {**who, "occurred_at": occurred_at, "id": operation["id"]})

    def operation_changes(self, connection: Connection, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Looks up each customer's changes by identifier, because SQLite has no lateral join."""
        return connection.rows(_OPERATION_CHANGES, parameters)

    def lock_reverted_customers(self, connection: sqlalchemy.Connection, operation: Mapping[str, Any]) -> None:
        """Does nothing: there is only one writer."""

    def lock_reverted_devices(self, connection: sqlalchemy.Connection, operation: Mapping[str, Any]) -> None:
        """Does nothing: there is only one writer."""
