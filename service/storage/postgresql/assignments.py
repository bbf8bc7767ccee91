"""Changes of assignments in PostgreSQL: one statement for each, which also logs the change."""

from collections.abc import Mapping

from sqlalchemy import bindparam, text

from service.storage.backend import ChangeSet
from service.storage.connection import Connection
from service.storage.statement import Statement
from service.storage.types import TextArray

_END_ASSIGNMENTS = Statement(
    text("""
WITH ended AS (
  DELETE FROM assignment
  WHERE organization_id = :organization_id AND customer_id = :customer_id
    AND device_identifier = ANY (:identifiers)
  RETURNING device_identifier, assigned_revision
), logged AS (
  INSERT INTO assignment_change
    (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
  SELECT CAST(:organization_id AS text), CAST(:customer_id AS text), CAST(:revision AS bigint),
    device_identifier, 2, assigned_revision
  FROM ended
)
SELECT device_identifier FROM ended
""").bindparams(bindparam("identifiers", type_=TextArray))
)

# A statement before this one has locked the customer, so the revision that is read here cannot change any more.
_LOCK_AND_UNASSIGN = Statement(
    text("""
WITH ended AS (
  DELETE FROM assignment
  WHERE organization_id = :organization_id
    AND customer_id = (SELECT id FROM customer WHERE organization_id = :organization_id AND email_key = :email_key)
    AND device_identifier = ANY (:identifiers)
  RETURNING customer_id, device_identifier, assigned_revision
), logged AS (
  INSERT INTO assignment_change
    (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
  SELECT CAST(:organization_id AS text), customer_id,
    (SELECT revision + 1 FROM customer WHERE organization_id = :organization_id AND email_key = :email_key),
    device_identifier, 2, assigned_revision
  FROM ended
)
SELECT device_identifier FROM ended
""").bindparams(bindparam("identifiers", type_=TextArray))
)

_BEGIN_ASSIGNMENTS = Statement(
    text("""
WITH begun AS (
  INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
  SELECT CAST(:organization_id AS text), CAST(:customer_id AS text), identifier, CAST(:revision AS bigint)
  FROM unnest(:identifiers) AS identifier
  ON CONFLICT (organization_id, customer_id, device_identifier) DO NOTHING
  RETURNING device_identifier
), logged AS (
  INSERT INTO assignment_change
    (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
  SELECT CAST(:organization_id AS text), CAST(:customer_id AS text), CAST(:revision AS bigint),
    device_identifier, 1, CAST(:revision AS bigint)
  FROM begun
)
SELECT device_identifier FROM begun
""").bindparams(bindparam("identifiers", type_=TextArray))
)

_SHARE_DEVICE = Statement(
    text("""
WITH begun AS (
  INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
  SELECT CAST(:organization_id AS text), customer_id, CAST(:identifier AS text), revision
  FROM unnest(CAST(:customer_ids AS text[]), CAST(:revisions AS bigint[])) AS new (customer_id, revision)
  ON CONFLICT (organization_id, customer_id, device_identifier) DO NOTHING
  RETURNING customer_id, assigned_revision
), logged AS (
  INSERT INTO assignment_change
    (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
  SELECT CAST(:organization_id AS text), customer_id, assigned_revision, CAST(:identifier AS text), 1,
    assigned_revision
  FROM begun
)
SELECT customer_id FROM begun
""")
)

_END_ALL = Statement(
    text("""
WITH ended AS (
  DELETE FROM assignment WHERE organization_id = :organization_id AND customer_id = :customer_id
  RETURNING device_identifier, assigned_revision
)
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT CAST(:organization_id AS text), CAST(:customer_id AS text), CAST(:revision AS bigint),
  device_identifier, 2, assigned_revision
FROM ended
""")
)

_CREATE_DEVICES = Statement(
    text("""
INSERT INTO device (organization_id, identifier, id, type, created_at)
SELECT CAST(:organization_id AS text), new.identifier, new.id, CAST(:type AS text), clock_timestamp()
FROM unnest(:identifiers, :ids) AS new (identifier, id)
ON CONFLICT (organization_id, identifier) DO NOTHING
""").bindparams(bindparam("identifiers", type_=TextArray), bindparam("ids", type_=TextArray))
)


class AssignmentStatements:
    """See `backend.Backend`."""

    lock_and_unassign = (_LOCK_AND_UNASSIGN,)

    def end_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Deletes and logs in one statement."""
        return [row[0] for row in connection.rows(_END_ASSIGNMENTS, change.parameters)]

    def begin_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Inserts and logs in one statement."""
        return [row[0] for row in connection.rows(_BEGIN_ASSIGNMENTS, change.parameters)]

    def share_device(
        self, connection: Connection, organization_id: str, identifier: str, revisions: Mapping[str, int]
    ) -> list[str]:
        """Inserts and logs in one statement."""
        parameters = {
            "organization_id": organization_id,
            "identifier": identifier,
            "customer_ids": list(revisions),
            "revisions": list(revisions.values()),
        }
        return [row[0] for row in connection.rows(_SHARE_DEVICE, parameters)]

    def end_all_assignments(self, connection: Connection, organization_id: str, customer_id: str, revision: int) -> int:
        """Deletes and logs in one statement, which returns no rows: there may be a million."""
        parameters = {"organization_id": organization_id, "customer_id": customer_id, "revision": revision}
        return connection.count(_END_ALL, parameters)

    def create_devices(
        self, connection: Connection, organization_id: str, device_type: str, ids: Mapping[str, str]
    ) -> None:
        """Inserts all in one statement, in the order of the identifiers, so that two of these cannot deadlock."""
        identifiers = sorted(ids)
        parameters = {
            "organization_id": organization_id,
            "type": device_type,
            "identifiers": identifiers,
            "ids": [ids[identifier] for identifier in identifiers],
        }
        connection.count(_CREATE_DEVICES, parameters)
