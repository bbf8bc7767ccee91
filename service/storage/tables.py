"""The tables. The organisation comes first in every key, so that an organisation's rows stand together.

Only keys refer to `organization`: every row of the others is written for a key's organisation, and a foreign key would
have all of an organisation's transactions at once share a lock on its one row.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from service.storage.types import Instant, Ordered

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

UNIQUE_NAME = UniqueConstraint("name")
UNIQUE_EMAIL = UniqueConstraint("organization_id", "email_key")

organization = Table(
    "organization",
    metadata,
    Column("id", Ordered, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    # The position that the newest operation of the stream has; see `stream.py`.
    Column("last_position", BigInteger, nullable=False, server_default="0"),
    UNIQUE_NAME,
)

api_key = Table(
    "api_key",
    metadata,
    Column("sha256", Ordered, primary_key=True),
    Column("id", Ordered, nullable=False, unique=True),
    Column("organization_id", Ordered, ForeignKey("organization.id"), nullable=False),
    Column("prefix", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # separated by spaces
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
)

# `revision` counts the operations that changed the customer's assignments, `changed_at` is the time of the last of
# them, `device_count` what it left. A row's lock is the lock of all the customer's assignments.
customer = Table(
    "customer",
    metadata,
    Column("organization_id", Ordered, nullable=False),
    Column("id", Ordered, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_key", Ordered, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("device_count", Integer, nullable=False),
    Column("phone", Text, nullable=False, server_default=""),
    Column("address", Text, nullable=False, server_default=""),
    Column("metadata", Text, nullable=False, server_default="{}"),  # JSON
    PrimaryKeyConstraint("organization_id", "id"),
    UNIQUE_EMAIL,
)

device = Table(
    "device",
    metadata,
    Column("organization_id", Ordered, nullable=False),
    Column("identifier", Ordered, nullable=False),
    Column("id", Ordered, nullable=False),
    Column("type", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("properties", Text, nullable=False, server_default="{}"),  # JSON
    PrimaryKeyConstraint("organization_id", "identifier"),
)

# The current pairs only. `assigned_revision` is the customer's revision that the assignment began with; its time
# stands in `customer_revision`.
assignment = Table(
    "assignment",
    metadata,
    Column("organization_id", Ordered, nullable=False),
    Column("customer_id", Ordered, nullable=False),
    Column("device_identifier", Ordered, nullable=False),
    Column("assigned_revision", BigInteger, nullable=False),
    PrimaryKeyConstraint("organization_id", "customer_id", "device_identifier"),
    ForeignKeyConstraint(["organization_id", "customer_id"], ["customer.organization_id", "customer.id"]),
    ForeignKeyConstraint(["organization_id", "device_identifier"], ["device.organization_id", "device.identifier"]),
    Index(None, "organization_id", "device_identifier"),
)

# What each operation did: one row for each assignment that it began (`change` 1) or ended (2). The row of an end
# carries the revision of its beginning, so that it is the whole history of that assignment. Rows are only ever added,
# in the statement that changes `assignment`, so they have no foreign keys of their own to check again.
assignment_change = Table(
    "assignment_change",
    metadata,
    Column("organization_id", Ordered, nullable=False),
    Column("customer_id", Ordered, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("device_identifier", Ordered, nullable=False),
    Column("change", SmallInteger, nullable=False),
    Column("assigned_revision", BigInteger, nullable=False),
    PrimaryKeyConstraint("organization_id", "customer_id", "revision", "device_identifier"),
    # The last two columns are for SQLite, which would rather read a whole organisation off the primary key's index,
    # because that has all that such a query wants, than look up a device in an index that has not.
    Index("ix_assignment_change_device", "organization_id", "device_identifier", "customer_id", "revision"),
)

operation = Table(
    "operation",
    metadata,
    Column("organization_id", Ordered, nullable=False),
    Column("id", Ordered, nullable=False),
    Column("kind", Text, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("key_id", Ordered),
    Column("note", Text, nullable=False),
    Column("assigned_count", Integer, nullable=False),
    Column("unassigned_count", Integer, nullable=False),
    Column("reverts_operation_id", Ordered),
    # Its place in the stream of operations, which it gets some time after the commit; see `stream.py`.
    Column("position", BigInteger),
    PrimaryKeyConstraint("organization_id", "id"),
    Index(None, "organization_id", "occurred_at"),
    Index("ix_operation_position", "organization_id", "position", unique=True),
)
Index(
    "ix_operation_without_position",
    operation.c.organization_id,
    operation.c.occurred_at,
    postgresql_where=operation.c.position.is_(None),
    sqlite_where=operation.c.position.is_(None),
)

# Which operation made which revision of which customer, when, and with how many devices left.
customer_revision = Table(
    "customer_revision",
    metadata,
    Column("organization_id", Ordered, nullable=False),
    Column("customer_id", Ordered, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("operation_id", Ordered, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("device_count", Integer, nullable=False),
    PrimaryKeyConstraint("organization_id", "customer_id", "revision"),
    Index(None, "organization_id", "operation_id"),
)

# What each request id was answered.
reply = Table(
    "reply",
    metadata,
    Column("organization_id", Ordered, nullable=False),
    Column("request_id", Ordered, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("kept_at", Instant, nullable=False),
    PrimaryKeyConstraint("organization_id", "request_id"),
    Index(None, "kept_at"),
)
