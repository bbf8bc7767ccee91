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
WHERE organization_id = :organization_id AND id IN (SELECT key FROM json_each(:deltas))
""")
)

_INSERT_OPERATION = Statement(
    text("""
INSERT INTO operation
  (organization_id, id, kind, occurred_at, key_id, note, assigned_count, unassigned_count, reverts_operation_id)
VALUES
  (:organization_id, :id, :kind, :occurred_at, :key_id, :note, :assigned_count, :unassigned_count,
   :reverts_operation_id)
""")
)

_MOVE_CUSTOMER = Statement(
    text("""
UPDATE customer SET revision = revision + 1, changed_at = :occurred_at, device_count = device_count + :delta
WHERE organization_id = :organization_id AND id = :customer_id
""")
)

_INSERT_REVISIONS = Statement(
    text("""
INSERT INTO customer_revision
  (organization_id, customer_id, revision, operation_id, occurred_at, device_count)
SELECT organization_id, id, revision, :id, :occurred_at, device_count FROM customer
WHERE organization_id = :organization_id AND id IN (SELECT key FROM json_each(:deltas))
""")
)

# Reads at most a page of each customer's changes: an operation may have changed a million devices of one customer.
_OPERATION_CHANGES = Statement(
    text("""
SELECT made.customer_id, listed.device_identifier, listed.change
FROM (
  SELECT customer_id, revision FROM customer_revision
  WHERE organization_id = :organization_id AND operation_id = :operation_id AND customer_id >= :after_customer
  ORDER BY customer_id LIMIT :limit + 1
) AS made
CROSS JOIN assignment_change AS listed
WHERE listed.organization_id = :organization_id AND listed.customer_id = made.customer_id
  AND listed.revision = made.revision AND listed.device_identifier IN (
    SELECT device_identifier FROM assignment_change
    WHERE organization_id = :organization_id AND customer_id = made.customer_id AND revision = made.revision
      AND device_identifier > CASE made.customer_id WHEN :after_customer THEN :after_device ELSE '' END
    ORDER BY device_identifier LIMIT :limit
  )
ORDER BY made.customer_id, listed.device_identifier LIMIT :limit
""")
)


class OperationStatements:
    """See `backend.Backend`."""

    def record_operation(
        self, connection: Connection, operation: Mapping[str, Any], deltas: Mapping[str, int], *, lead: timedelta
    ) -> None:
        """Reads the clock, then writes table by table."""
        who = {"organization_id": operation["organization_id"], "deltas": json.dumps(deltas)}
        ((occurred_at,),) = connection.rows(_OCCURRED_AT, {**who, "lead": lead // timedelta(microseconds=1)})
        connection.count(_INSERT_OPERATION, {**operation, "occurred_at": occurred_at})
        shared = {"organization_id": operation["organization_id"], "occurred_at": occurred_at}
        for customer_id, delta in deltas.items():
            connection.count(_MOVE_CUSTOMER, {**shared, "customer_id": customer_id, "delta": delta})
        connection.count(_INSERT_REVISIONS, {**who, "occurred_at": occurred_at, "id": operation["id"]})

    def operation_changes(self, connection: Connection, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Looks up each customer's changes by identifier, because SQLite has no lateral join."""
        return connection.rows(_OPERATION_CHANGES, parameters)

    def lock_reverted_customers(self, connection: sqlalchemy.Connection, operation: Mapping[str, Any]) -> None:
        """Does nothing: there is only one writer."""

    def lock_reverted_devices(self, connection: sqlalchemy.Connection, operation: Mapping[str, Any]) -> None:
        """Does nothing: there is only one writer."""
