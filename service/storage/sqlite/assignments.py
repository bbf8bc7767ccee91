"""Changes of assignments in SQLite: an end takes two statements, because no statement writes two tables."""

import json
from collections.abc import Mapping, Sequence

import sqlalchemy
from sqlalchemy import bindparam, text

from service.domain.email import Email
from service.storage.backend import ChangeSet
from service.storage.connection import Connection
from service.storage.statement import Statement
from service.storage.types import TextArray


def _with_identifiers(sql: str) -> Statement:
    return Statement(text(sql).bindparams(bindparam("identifiers", type_=TextArray)))


_KEEP_ENDED = _with_identifiers("""
INSERT INTO past_assignment
  (organization_number, customer_number, assigned_revision, unassigned_revision, device_identifier)
SELECT organization_number, customer_number, assigned_revision, :revision, device_identifier
FROM assignment
WHERE organization_number = :organization_number AND customer_number = :customer_number
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
""")

_DELETE_ENDED = _with_identifiers("""
DELETE FROM assignment
WHERE organization_number = :organization_number AND customer_number = :customer_number
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
RETURNING device_identifier
""")

_KEEP_ENDED_OF = _with_identifiers("""
INSERT INTO past_assignment
  (organization_number, customer_number, assigned_revision, unassigned_revision, device_identifier)
SELECT organization_number, customer_number, assigned_revision,
  (SELECT revision + 1 FROM customer WHERE organization_number = :organization_number AND email_key = :email_key),
  device_identifier
FROM assignment
WHERE organization_number = :organization_number AND customer_number = (
    SELECT number FROM customer WHERE organization_number = :organization_number AND email_key = :email_key)
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
""")

_DELETE_ENDED_OF = _with_identifiers("""
DELETE FROM assignment
WHERE organization_number = :organization_number AND customer_number = (
    SELECT number FROM customer WHERE organization_number = :organization_number AND email_key = :email_key)
  AND device_identifier IN (SELECT value FROM json_each(:identifiers))
RETURNING device_identifier
""")

_INSERT_BEGUN = _with_identifiers("""
INSERT INTO assignment (organization_number, customer_number, assigned_revision, device_identifier)
SELECT :organization_number, :customer_number, :revision, value FROM json_each(:identifiers) WHERE true
ORDER BY value
ON CONFLICT (organization_number, customer_number, device_identifier) DO NOTHING
RETURNING device_identifier
""")

_INSERT_SHARED = Statement(
    text("""
INSERT INTO assignment (organization_number, customer_number, assigned_revision, device_identifier)
SELECT :organization_number, CAST(key AS integer), value, :identifier FROM json_each(:revisions) WHERE true
ON CONFLICT (organization_number, customer_number, device_identifier) DO NOTHING
RETURNING customer_number
""")
)

_KEEP_ALL = Statement(
    text("""
INSERT INTO past_assignment
  (organization_number, customer_number, assigned_revision, unassigned_revision, device_identifier)
SELECT organization_number, customer_number, assigned_revision, :revision, device_identifier
FROM assignment WHERE organization_number = :organization_number AND customer_number = :customer_number
""")
)

_DELETE_ALL = Statement(
    text("""
DELETE FROM assignment WHERE organization_number = :organization_number AND customer_number = :customer_number
""")
)

# SQLite counts no column of a primary key of two columns by itself. There is one writer, so no number is used twice.
_LAST_NUMBER = """
(SELECT coalesce(max(number), 0) FROM customer WHERE organization_number = :organization_number)
"""

_CREATE_CUSTOMERS = Statement(
    text(f"""
INSERT INTO customer
  (organization_number, number, id, email, email_key, name, created_at, revision, changed_at, device_count)
SELECT :organization_number, {_LAST_NUMBER} + row_number() OVER (ORDER BY value ->> 'email_key'),
  value ->> 'id', value ->> 'email', value ->> 'email_key', value ->> 'name', clock_timestamp(), 0, clock_timestamp(), 0
FROM json_each(:customers) WHERE true
ON CONFLICT (organization_number, email_key) DO NOTHING
RETURNING email_key
""")  # noqa: S608  # of this module's texts
)

_CREATE_IMPORTED_CUSTOMERS = text(f"""
INSERT INTO customer
  (organization_number, number, id, email, email_key, name, created_at, revision, changed_at, device_count)
SELECT :organization_number, {_LAST_NUMBER} + row_number() OVER (ORDER BY email_key),
  customer_id, email, email_key, name, clock_timestamp(), 0, clock_timestamp(), 0
FROM import_line WHERE number IN (SELECT min(number) FROM import_line GROUP BY email_key)
ON CONFLICT (organization_number, email_key) DO NOTHING
""")  # noqa: S608  # of this module's texts

_CREATE_DEVICES = Statement(
    text("""
INSERT INTO device (organization_number, identifier, id, type, created_at)
SELECT :organization_number, key, value, :type, clock_timestamp() FROM json_each(:ids) WHERE true
ORDER BY key
ON CONFLICT (organization_number, identifier) DO NOTHING
""")
)


class AssignmentStatements:
    """See `backend.Backend`."""

    lock_and_unassign = (_KEEP_ENDED_OF, _DELETE_ENDED_OF)

    def end_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Copies the rows before it deletes them."""
        connection.count(_KEEP_ENDED, change.parameters)
        return [row[0] for row in connection.rows(_DELETE_ENDED, change.parameters)]

    def begin_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Inserts in one statement."""
        return [row[0] for row in connection.rows(_INSERT_BEGUN, change.parameters)]

    def share_device(
        self, connection: Connection, organization_number: int, identifier: str, revisions: Mapping[int, int]
    ) -> list[int]:
        """Inserts in one statement."""
        which = {"organization_number": organization_number, "identifier": identifier}
        rows = connection.rows(_INSERT_SHARED, {**which, "revisions": json.dumps(dict(revisions))})
        return [row[0] for row in rows]

    def end_all_assignments(
        self, connection: Connection, organization_number: int, customer_number: int, revision: int
    ) -> int:
        """Copies the rows before it deletes them."""
        which = {"organization_number": organization_number, "customer_number": customer_number}
        connection.count(_KEEP_ALL, {**which, "revision": revision})
        return connection.count(_DELETE_ALL, which)

    def create_customers(
        self, connection: Connection, organization_number: int, emails: Sequence[Email], ids: Sequence[str]
    ) -> set[str]:
        """Inserts all in one statement."""
        customers = [
            {"id": id_, "email": email.given, "email_key": email.key, "name": email.local_part}
            for email, id_ in zip(emails, ids, strict=True)
        ]
        parameters = {"organization_number": organization_number, "customers": json.dumps(customers)}
        return {row[0] for row in connection.rows(_CREATE_CUSTOMERS, parameters)}

    def create_imported_customers(self, connection: sqlalchemy.Connection, organization_number: int) -> int:
        """Inserts all in one statement."""
        return connection.execute(_CREATE_IMPORTED_CUSTOMERS, {"organization_number": organization_number}).rowcount

    def create_devices(
        self, connection: Connection, organization_number: int, device_type: str, ids: Mapping[str, str]
    ) -> None:
        """Inserts all in one statement."""
        parameters = {"organization_number": organization_number, "type": device_type, "ids": json.dumps(ids)}
        connection.count(_CREATE_DEVICES, parameters)
