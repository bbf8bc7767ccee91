"""Changes of assignments in PostgreSQL: one statement for each."""

from collections.abc import Mapping, Sequence

import sqlalchemy
from sqlalchemy import bindparam, text

from service.domain.email import Email
from service.storage.backend import ChangeSet
from service.storage.connection import Connection
from service.storage.statement import Statement
from service.storage.types import TextArray

# Rows are inserted in the order of the keys, which is quicker for many: neighbours go to the same page of an index.
_END_ASSIGNMENTS = Statement(
    text("""
WITH ended AS (
  DELETE FROM assignment
  WHERE organization_number = :organization_number AND customer_number = :customer_number
    AND device_identifier = ANY (:identifiers)
  RETURNING device_identifier, assigned_revision
), kept AS (
  INSERT INTO past_assignment
    (organization_number, customer_number, assigned_revision, unassigned_revision, device_identifier)
  SELECT CAST(:organization_number AS bigint), CAST(:customer_number AS bigint), assigned_revision,
    CAST(:revision AS bigint), device_identifier
  FROM ended ORDER BY device_identifier
)
SELECT device_identifier FROM ended
""").bindparams(bindparam("identifiers", type_=TextArray))
)

# A statement before this one has locked the customer, so the revision that is read here cannot change any more.
_LOCK_AND_UNASSIGN = Statement(
    text("""
WITH ended AS (
  DELETE FROM assignment
  WHERE organization_number = :organization_number
    AND customer_number = (
      SELECT number FROM customer WHERE organization_number = :organization_number AND email_key = :email_key)
    AND device_identifier = ANY (:identifiers)
  RETURNING customer_number, device_identifier, assigned_revision
), kept AS (
  INSERT INTO past_assignment
    (organization_number, customer_number, assigned_revision, unassigned_revision, device_identifier)
  SELECT CAST(:organization_number AS bigint), customer_number, assigned_revision,
    (SELECT revision + 1 FROM customer WHERE organization_number = :organization_number AND email_key = :email_key),
    device_identifier
  FROM ended ORDER BY device_identifier
)
SELECT device_identifier FROM ended
""").bindparams(bindparam("identifiers", type_=TextArray))
)

_BEGIN_ASSIGNMENTS = Statement(
    text("""
INSERT INTO assignment (organization_number, customer_number, assigned_revision, device_identifier)
SELECT CAST(:organization_number AS bigint), CAST(:customer_number AS bigint), CAST(:revision AS bigint), identifier
FROM unnest(:identifiers) AS identifier ORDER BY identifier COLLATE "C"
ON CONFLICT (organization_number, customer_number, device_identifier) DO NOTHING
RETURNING device_identifier
""").bindparams(bindparam("identifiers", type_=TextArray))
)

_SHARE_DEVICE = Statement(
    text("""
INSERT INTO assignment (organization_number, customer_number, assigned_revision, device_identifier)
SELECT CAST(:organization_number AS bigint), customer_number, revision, CAST(:identifier AS text)
FROM unnest(CAST(:customer_numbers AS bigint[]), CAST(:revisions AS bigint[])) AS new (customer_number, revision)
ORDER BY customer_number
ON CONFLICT (organization_number, customer_number, device_identifier) DO NOTHING
RETURNING customer_number
""")
)

_END_ALL = Statement(
    text("""
WITH ended AS (
  DELETE FROM assignment WHERE organization_number = :organization_number AND customer_number = :customer_number
  RETURNING device_identifier, assigned_revision
)
INSERT INTO past_assignment
  (organization_number, customer_number, assigned_revision, unassigned_revision, device_identifier)
SELECT CAST(:organization_number AS bigint), CAST(:customer_number AS bigint), assigned_revision,
  CAST(:revision AS bigint), device_identifier
FROM ended ORDER BY device_identifier
""")
)

# In the order of the keys, so that two of these cannot deadlock.
_CREATE_CUSTOMERS = Statement(
    text("""
INSERT INTO customer
  (organization_number, id, email, email_key, name, created_at, revision, changed_at, device_count)
SELECT CAST(:organization_number AS bigint), new.id, new.email, new.email_key, new.name, clock_timestamp(), 0,
  clock_timestamp(), 0
FROM unnest(:ids, :emails, :email_keys, :names) AS new (id, email, email_key, name)
ORDER BY new.email_key COLLATE "C"
ON CONFLICT (organization_number, email_key) DO NOTHING
RETURNING email_key
""").bindparams(*(bindparam(name, type_=TextArray) for name in ("ids", "emails", "email_keys", "names")))
)

_CREATE_IMPORTED_CUSTOMERS = text("""
INSERT INTO customer
  (organization_number, id, email, email_key, name, created_at, revision, changed_at, device_count)
SELECT :organization_number, customer_id, email, email_key, name, clock_timestamp(), 0, clock_timestamp(), 0
FROM import_line WHERE number IN (SELECT min(number) FROM import_line GROUP BY email_key)
ORDER BY email_key
ON CONFLICT (organization_number, email_key) DO NOTHING
""")

# In the order of the identifiers, so that two of these cannot deadlock.
_CREATE_DEVICES = Statement(
    text("""
INSERT INTO device (organization_number, identifier, id, type, created_at)
SELECT CAST(:organization_number AS bigint), new.identifier, new.id, CAST(:type AS text), clock_timestamp()
FROM unnest(:identifiers, :ids) AS new (identifier, id)
ORDER BY new.identifier COLLATE "C"
ON CONFLICT (organization_number, identifier) DO NOTHING
""").bindparams(bindparam("identifiers", type_=TextArray), bindparam("ids", type_=TextArray))
)


class AssignmentStatements:
    """See `backend.Backend`."""

    lock_and_unassign = (_LOCK_AND_UNASSIGN,)

    def end_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Moves the rows in one statement."""
        return [row[0] for row in connection.rows(_END_ASSIGNMENTS, change.parameters)]

    def begin_assignments(self, connection: Connection, change: ChangeSet) -> list[str]:
        """Inserts in one statement."""
        return [row[0] for row in connection.rows(_BEGIN_ASSIGNMENTS, change.parameters)]

    def share_device(
        self, connection: Connection, organization_number: int, identifier: str, revisions: Mapping[int, int]
    ) -> list[int]:
        """Inserts in one statement."""
        parameters = {
            "organization_number": organization_number,
            "identifier": identifier,
            "customer_numbers": list(revisions),
            "revisions": list(revisions.values()),
        }
        return [row[0] for row in connection.rows(_SHARE_DEVICE, parameters)]

    def end_all_assignments(
        self, connection: Connection, organization_number: int, customer_number: int, revision: int
    ) -> int:
        """Moves the rows in one statement, which returns none of them: there may be a million."""
        parameters = {
            "organization_number": organization_number,
            "customer_number": customer_number,
            "revision": revision,
        }
        return connection.count(_END_ALL, parameters)

    def create_customers(
        self, connection: Connection, organization_number: int, emails: Sequence[Email], ids: Sequence[str]
    ) -> set[str]:
        """Inserts all in one statement."""
        parameters = {
            "organization_number": organization_number,
            "ids": list(ids),
            "emails": [email.given for email in emails],
            "email_keys": [email.key for email in emails],
            "names": [email.local_part for email in emails],
        }
        return {row[0] for row in connection.rows(_CREATE_CUSTOMERS, parameters)}

    def create_imported_customers(self, connection: sqlalchemy.Connection, organization_number: int) -> int:
        """Inserts all in one statement."""
        return connection.execute(_CREATE_IMPORTED_CUSTOMERS, {"organization_number": organization_number}).rowcount

    def create_devices(
        self, connection: Connection, organization_number: int, device_type: str, ids: Mapping[str, str]
    ) -> None:
        """Inserts all in one statement."""
        parameters = {
            "organization_number": organization_number,
            "type": device_type,
            "identifiers": list(ids),
            "ids": list(ids.values()),
        }
        connection.count(_CREATE_DEVICES, parameters)
