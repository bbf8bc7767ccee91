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
  SELECT * FROM unnest(CAST(:customer_ids AS text[]), CAST(:deltas AS integer[])) AS d (customer_id, value)
), moment AS (
  SELECT greatest(
    clock_timestamp() + CAST(:lead AS bigint) * interval '1 microsecond',
    max(changed_at) + interval '1 microsecond'
  ) AS occurred_at
  FROM customer
  WHERE organization_id = :organization_id AND id = ANY (CAST(:customer_ids AS text[]))
), recorded AS (
  INSERT INTO operation
    (organization_id, id, kind, occurred_at, key_id, note, assigned_count, unassigned_count,
     reverts_operation_id)
  SELECT CAST(:organization_id AS text), CAST(:id AS text), CAST(:kind AS text), occurred_at,
    CAST(:key_id AS text), CAST(:note AS text), CAST(:assigned_count AS integer),
    CAST(:unassigned_count AS integer), CAST(:reverts_operation_id AS text)
  FROM moment
), moved AS (
  UPDATE customer
  SET revision = revision + 1, changed_at = moment.occurred_at, device_count = device_count + delta.value
  FROM delta, moment
  WHERE organization_id = :organization_id AND id = delta.customer_id
  RETURNING id, revision, device_count, changed_at
)
INSERT INTO customer_revision
  (organization_id, customer_id, revision, operation_id, occurred_at, device_count)
SELECT CAST(:organization_id AS text), id, revision, CAST(:id AS text), changed_at, device_count FROM moved
""")
)

# Reads at most a page of each customer's changes: an operation may have changed a million devices of one customer.
_OPERATION_CHANGES = Statement(
    text("""
SELECT made.customer_id, listed.device_identifier, listed.change
FROM (
  SELECT customer_id, revision FROM customer_revision
  WHERE organization_id = :organization_id AND operation_id = :operation_id AND customer_id >= :after_customer
  ORDER BY customer_id
) AS made
CROSS JOIN LATERAL (
  SELECT device_identifier, change FROM assignment_change
  WHERE organization_id = :organization_id AND customer_id = made.customer_id AND revision = made.revision
    AND device_identifier > CASE made.customer_id WHEN :after_customer THEN :after_device ELSE '' END
  ORDER BY device_identifier LIMIT :limit
) AS listed
ORDER BY made.customer_id, listed.device_identifier LIMIT :limit
""")
)

# Locked in the order of the ids, as in every transaction that locks several customers, so that none deadlock.
# The present owners of the devices are locked too, because another transaction may be unassigning a device from them.
# ANY (ARRAY (…)) instead of IN: for IN the planner expects so many rows that it reads all the organisation's customers.
_LOCK_REVERTED_CUSTOMERS = text("""
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

_LOCK_REVERTED_DEVICES = text("""
SELECT count(*) FROM (
  SELECT 1 FROM device
  WHERE organization_id = :organization_id
    AND identifier = ANY (ARRAY (SELECT DISTINCT device_identifier FROM revert_change))
  ORDER BY identifier FOR UPDATE
) AS locked
""")


class OperationStatements:
    """See `backend.Backend`."""

    def record_operation(
        self, connection: Connection, operation: Mapping[str, Any], deltas: Mapping[str, int], *, lead: timedelta
    ) -> None:
        """Reads the clock and writes every table in one statement, which is sent with the commit."""
        parameters = {
            **operation,
            "customer_ids": list(deltas),
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
