"""Changes of assignments in SQLite: the log first or after, because no statement writes two tables."""

import json
from collections.abc import Mapping

from sqlalchemy import bindparam, text

from service.storage.backend import ChangeSet
from service.storage.connection import Connection
from service.storage.statement import Statement
from service.storage.types import TextArray


def _with_identifiers(sql: str) -> Statement:
    return Statement(text(sql).bindparams(bindparam("identifiers", type_=TextArray)))


_LOG_ENDS = _with_identifiers("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT organization_id, customer_id, :revision, device_identifier, 2, assigned_revision
FROM assignment
WHERE organization_id = :organization_id AND customer_id = :customer_id
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
""")

_DELETE_ENDED = _with_identifiers("""
DELETE FROM assignment
WHERE organization_id = :organization_id AND customer_id = :customer_id
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
RETURNING device_identifier
""")

_LOG_ENDS_OF = _with_identifiers("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT organization_id, customer_id,
  (SELECT revision + 1 FROM customer WHERE organization_id = :organization_id AND email_key = :email_key),
  device_identifier, 2, assigned_revision
FROM assignment
WHERE organization_id = :organization_id AND customer_id = (
    SELECT id FROM customer WHERE organization_id = :organization_id AND email_key = :email_key)
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
""")

_DELETE_ENDED_OF = _with_identifiers("""
DELETE FROM assignment
WHERE organization_id = :organization_id AND customer_id = (
    SELECT id FROM customer WHERE organization_id = :organization_id AND email_key = :email_key)
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
RETURNING device_identifier
""")

_INSERT_BEGUN = _with_identifiers("""
INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
SELECT :organization_id, :customer_id, value, :revision FROM json_each(:identifiers) WHERE true
ON CONFLICT (organization_id, customer_id, device_identifier) DO NOTHING
RETURNING device_identifier
""")

_LOG_BEGINNINGS = _with_identifiers("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT :organization_id, :customer_id, :revision, value, 1, :revision FROM json_each(:identifiers)
""")

_INSERT_SHARED = Statement(
    text("""
INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
SELECT :organization_id, key, :identifier, value FROM json_each(:revisions) WHERE true
ON CONFLICT (organization_id, customer_id, device_identifier) DO NOTHING
RETURNING customer_id
""")
)

_LOG_SHARED = Statement(
    text("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT :organization_id, key, value, :identifier, 1, value FROM json_each(:revisions)
""")
)

_LOG_ALL_ENDS = Statement(
    text("""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT organization_id, customer_id, :revision, device_identifier, 2, assigned_revision
FROM assignment WHERE organization_id = :organization_id AND customer_id = :customer_id
""")
)

_DELETE_ALL = Statement(
    text("""
DELETE FROM assignment WHERE organization_id = :organization_id AND customer_id = :customer_id
""")
)

_CREATE_DEVICES = Statement(
    text("""
INSERT INTO device (organization_id, identifier, id, type, created_at)
SELECT :organization_id, key, value, :type, clock_timestamp() FROM json_each(:ids) WHERE true
ON CONFLICT (organization_id, identifier) DO NOTHING
""")
)


class AssignmentStatements:
    """See `backend.Backend`."""

    lock_and_unassign = (_LOG_ENDS_OF, _DELETE_ENDED_OF)

    def end_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Logs before it deletes, because the log is made from the rows that are deleted."""
        connection.count(_LOG_ENDS, change.parameters)
        return [row[0] for row in connection.rows(_DELETE_ENDED, change.parameters)]

    def begin_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Inserts, then logs the rows that did not exist."""
        begun = [row[0] for row in connection.rows(_INSERT_BEGUN, change.parameters)]
        connection.count(_LOG_BEGINNINGS, {**change.parameters, "identifiers": begun})
        return begun

    def share_device(
        self, connection: Connection, organization_id: str, identifier: str, revisions: Mapping[str, int]
    ) -> list[str]:
        """Inserts, then logs the rows that did not exist."""
        who = {"organization_id": organization_id, "identifier": identifier}
        rows = connection.rows(_INSERT_SHARED, {**who, "revisions": json.dumps(dict(revisions))})
        begun = {row[0]: revisions[row[0]] for row in rows}
        connection.count(_LOG_SHARED, {**who, "revisions": json.dumps(begun)})
        return list(begun)

    def end_all_assignments(self, connection: Connection, organization_id: str, customer_id: str, revision: int) -> int:
        """Logs before it deletes, as `end_assignments` does."""
        who = {"organization_id": organization_id, "customer_id": customer_id}
        connection.count(_LOG_ALL_ENDS, {**who, "revision": revision})
        return connection.count(_DELETE_ALL, who)

    def create_devices(
        self, connection: Connection, organization_id: str, device_type: str, ids: Mapping[str, str]
    ) -> None:
        """Inserts all in one statement."""
        parameters = {"organization_id": organization_id, "type": device_type, "ids": json.dumps(ids)}
        connection.count(_CREATE_DEVICES, parameters)
