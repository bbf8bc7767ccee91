"""The tables. The organisation comes first in every key, so that an organisation's rows are stored together.

Organisations and customers have a number, which the other tables refer to, and a public id; see `numbers.py`. Only
`api_key` has a foreign key to `organization`: rows of the other tables are written for the organisation of a key, and a
foreign key would make all transactions of an organisation lock its one row.

Columns of a fixed length come first, because PostgreSQL pads the column before a number to 8 bytes. On SQLite the small
tables of many rows have no row ids: their primary key is their storage.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
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
UNIQUE_EMAIL = UniqueConstraint("organization_number", "email_key")
UNIQUE_CUSTOMER_ID = UniqueConstraint("organization_number", "id")

# On SQLite `AUTOINCREMENT`, so that no number is used twice.
organization = Table(
    "organization",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
    Column("created_at", Instant, nullable=False),
    Column("id", Ordered, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    UNIQUE_NAME,
    sqlite_autoincrement=True,
)

api_key = Table(
    "api_key",
    metadata,
    Column("sha256", Ordered, primary_key=True),
    Column("id", Ordered, nullable=False, unique=True),
    Column("organization_number", BigInteger, ForeignKey("organization.number"), nullable=False),
    Column("prefix", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # separated by spaces
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),
)

# `revision` counts the operations that changed the customer's assignments, `changed_at` is the time of the last one,
# and `device_count` the number of devices after it. A lock on the row locks all assignments of the customer.
# Every operation updates the row and no indexed column of it, so each page keeps space for the next version of a row.
customer = Table(
    "customer",
    metadata,
    Column("organization_number", BigInteger, nullable=False),
    Column("number", BigInteger, Identity(), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("device_count", Integer, nullable=False),
    Column("id", Ordered, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_key", Ordered, nullable=False),
    Column("name", Text, nullable=False),
    Column("phone", Text, nullable=False, server_default=""),
    Column("address", Text, nullable=False, server_default=""),
    Column("metadata", Text, nullable=False, server_default="{}"),  # JSON
    PrimaryKeyConstraint("organization_number", "number"),
    UNIQUE_EMAIL,
    UNIQUE_CUSTOMER_ID,
    postgresql_with={"fillfactor": 80},
)

device = Table(
    "device",
    metadata,
    Column("organization_number", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("identifier", Ordered, nullable=False),
    Column("id", Ordered, nullable=False),
    Column("type", Text, nullable=False),
    Column("properties", Text, nullable=False, server_default="{}"),  # JSON
    PrimaryKeyConstraint("organization_number", "identifier"),
)

# The indexes by device have all columns: SQLite prefers an index that has all columns of a query even where it reads a
# whole organisation from it, and PostgreSQL need not read the table.
# The current assignments. `assigned_revision` is the customer's revision that the assignment began with;
# `customer_revision` has its time and operation.
assignment = Table(
    "assignment",
    metadata,
    Column("organization_number", BigInteger, nullable=False),
    Column("customer_number", BigInteger, nullable=False),
    Column("assigned_revision", BigInteger, nullable=False),
    Column("device_identifier", Ordered, nullable=False),
    PrimaryKeyConstraint("organization_number", "customer_number", "device_identifier"),
    ForeignKeyConstraint(
        ["organization_number", "customer_number"], ["customer.organization_number", "customer.number"]
    ),
    ForeignKeyConstraint(
        ["organization_number", "device_identifier"], ["device.organization_number", "device.identifier"]
    ),
    Index("ix_assignment_device", "organization_number", "device_identifier", "customer_number", "assigned_revision"),
    Index("ix_assignment_revision", "organization_number", "customer_number", "assigned_revision", "device_identifier"),
    sqlite_with_rowid=False,
)

# The assignments that have ended, each with both of its revisions. An end moves the row here from `assignment`, so the
# two tables together are the whole history: an operation began what has its revision as `assigned_revision` in either
# of them, and ended what has it as `unassigned_revision` here.
past_assignment = Table(
    "past_assignment",
    metadata,
    Column("organization_number", BigInteger, nullable=False),
    Column("customer_number", BigInteger, nullable=False),
    Column("assigned_revision", BigInteger, nullable=False),
    Column("unassigned_revision", BigInteger, nullable=False),
    Column("device_identifier", Ordered, nullable=False),
    PrimaryKeyConstraint("organization_number", "customer_number", "unassigned_revision", "device_identifier"),
    Index(
        "ix_past_assignment_device",
        "organization_number",
        "device_identifier",
        "customer_number",
        "assigned_revision",
        "unassigned_revision",
    ),
    Index(
        "ix_past_assignment_revision",
        "organization_number",
        "customer_number",
        "assigned_revision",
        "device_identifier",
    ),
    sqlite_with_rowid=False,
)

operation = Table(
    "operation",
    metadata,
    Column("organization_number", BigInteger, nullable=False),
    # The position in the stream of operations, which is assigned after the commit; see `stream.py`.
    Column("position", BigInteger),
    Column("occurred_at", Instant, nullable=False),
    Column("assigned_count", Integer, nullable=False),
    Column("unassigned_count", Integer, nullable=False),
    Column("id", Ordered, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key_id", Ordered),
    Column("note", Text, nullable=False),
    Column("reverts_operation_id", Ordered),
    PrimaryKeyConstraint("organization_number", "id"),
    Index("ix_operation_occurred_at", "organization_number", "occurred_at"),
    Index("ix_operation_position", "organization_number", "position", unique=True),
)
Index(
    "ix_operation_without_position",
    operation.c.organization_number,
    operation.c.occurred_at,
    postgresql_where=operation.c.position.is_(None),
    sqlite_where=operation.c.position.is_(None),
)

# The operation that made a customer's revision, its time, and the number of devices after it.
customer_revision = Table(
    "customer_revision",
    metadata,
    Column("organization_number", BigInteger, nullable=False),
    Column("customer_number", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("device_count", Integer, nullable=False),
    Column("operation_id", Ordered, nullable=False),
    PrimaryKeyConstraint("organization_number", "customer_number", "revision"),
    Index("ix_customer_revision_operation", "organization_number", "operation_id"),
    sqlite_with_rowid=False,
)

# An organisation's stream of operations: the position of the newest operation, see `stream.py`, the position of the
# newest one that was pruned, and the time before which the history was pruned, see `pruning.py`.
stream = Table(
    "stream",
    metadata,
    Column("organization_number", BigInteger, primary_key=True, autoincrement=False),
    Column("last_position", BigInteger, nullable=False),
    Column("pruned_position", BigInteger, nullable=False, server_default="0"),
    Column("pruned_before", Instant),
)

# The answer of each request id.
reply = Table(
    "reply",
    metadata,
    Column("organization_number", BigInteger, nullable=False),
    Column("kept_at", Instant, nullable=False),
    Column("request_id", Ordered, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    PrimaryKeyConstraint("organization_number", "request_id"),
    Index("ix_reply_kept_at", "kept_at"),
)

IDS = (UNIQUE_CUSTOMER_ID, operation.primary_key)
"""The constraints that two ids that were made independently may violate: each has 52 random bits."""
