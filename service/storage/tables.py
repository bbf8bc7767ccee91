"""The tables. The organisation comes first in every key, so that an organisation's rows are stored together.

Only `api_key` refers to `organization`: rows of the other tables are written for the organisation of a key, and a
foreign key would make all transactions of an organisation lock its one row.
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
    # The position of the newest operation in the stream; see `stream.py`.
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

# `revision` counts the operations that changed the customer's assignments, `changed_at` is the time of the last one,
# and `device_count` the number of devices after it. A lock on the row locks all assignments of the customer.
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

# The current assignments. `assigned_revision` is the customer's revision that the assignment began with;
# `customer_revision` has its time.
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

# What each operation did: one row for each assignment that it began (`change` 1) or ended (2). The row of an end also
# has the revision of the beginning, so that it is the whole history of that assignment. Rows are only inserted,
# together with the change of `assignment`, which has the foreign keys.
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
    # The last two columns are for SQLite: it reads a whole organisation from the primary key's index, which has all
    # columns of the query, rather than a device from an index that does not have them.
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
    # The position in the stream of operations, which is assigned after the commit; see `stream.py`.
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

# The operation that made a customer's revision, its time, and the number of devices after it.
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

# The answer of each request id.
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
