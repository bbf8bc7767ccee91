"""The tables of version 1.0.

Databases of the development versions before it, which had steps 0001 and 0002, cannot be upgraded.
"""

import sqlalchemy as sa
from alembic import op

from service.storage.types import Instant, Ordered

revision = "0003"
down_revision = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "customer",
        sa.Column("organization_number", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
        sa.Column("device_count", sa.Integer(), nullable=False),
        sa.Column("id", Ordered, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", Ordered, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), server_default="", nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("metadata", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "number", name=op.f("pk_customer")),
        sa.UniqueConstraint("organization_number", "email_key", name=op.f("uq_customer_organization_number_email_key")),
        sa.UniqueConstraint("organization_number", "id", name=op.f("uq_customer_organization_number_id")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "customer_revision",
        sa.Column("organization_number", sa.BigInteger(), nullable=False),
        sa.Column("customer_number", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", Instant, nullable=False),
        sa.Column("device_count", sa.Integer(), nullable=False),
        sa.Column("operation_id", Ordered, nullable=False),
        sa.PrimaryKeyConstraint(
            "organization_number", "customer_number", "revision", name=op.f("pk_customer_revision")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_customer_revision_operation", "customer_revision", ["organization_number", "operation_id"])
    op.create_table(
        "device",
        sa.Column("organization_number", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("identifier", Ordered, nullable=False),
        sa.Column("id", Ordered, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("properties", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "identifier", name=op.f("pk_device")),
    )
    op.create_table(
        "operation",
        sa.Column("organization_number", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("occurred_at", Instant, nullable=False),
        sa.Column("assigned_count", sa.Integer(), nullable=False),
        sa.Column("unassigned_count", sa.Integer(), nullable=False),
        sa.Column("id", Ordered, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key_id", Ordered, nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("reverts_operation_id", Ordered, nullable=True),
        sa.PrimaryKeyConstraint("organization_number", "id", name=op.f("pk_operation")),
    )
    op.create_index("ix_operation_occurred_at", "operation", ["organization_number", "occurred_at"])
    op.create_index("ix_operation_position", "operation", ["organization_number", "position"], unique=True)
    op.create_index(
        "ix_operation_without_position",
        "operation",
        ["organization_number", "occurred_at"],
        postgresql_where=sa.text("position IS NULL"),
        sqlite_where=sa.text("position IS NULL"),
    )
    op.create_table(
        "organization",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("id", Ordered, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_organization")),
        sa.UniqueConstraint("id", name=op.f("uq_organization_id")),
        sa.UniqueConstraint("name", name=op.f("uq_organization_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "past_assignment",
        sa.Column("organization_number", sa.BigInteger(), nullable=False),
        sa.Column("customer_number", sa.BigInteger(), nullable=False),
        sa.Column("assigned_revision", sa.BigInteger(), nullable=False),
        sa.Column("unassigned_revision", sa.BigInteger(), nullable=False),
        sa.Column("device_identifier", Ordered, nullable=False),
        sa.PrimaryKeyConstraint(
            "organization_number",
            "customer_number",
            "unassigned_revision",
            "device_identifier",
            name=op.f("pk_past_assignment"),
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_past_assignment_device",
        "past_assignment",
        ["organization_number", "device_identifier", "customer_number", "assigned_revision", "unassigned_revision"],
    )
    op.create_index(
        "ix_past_assignment_revision",
        "past_assignment",
        ["organization_number", "customer_number", "assigned_revision", "device_identifier"],
    )
    op.create_table(
        "reply",
        sa.Column("organization_number", sa.BigInteger(), nullable=False),
        sa.Column("kept_at", Instant, nullable=False),
        sa.Column("request_id", Ordered, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organization_number", "request_id", name=op.f("pk_reply")),
    )
    op.create_index("ix_reply_kept_at", "reply", ["kept_at"])
    op.create_table(
        "stream",
        sa.Column("organization_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False),
        sa.Column("pruned_position", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pruned_before", Instant),
        sa.PrimaryKeyConstraint("organization_number", name=op.f("pk_stream")),
    )
    op.create_table(
        "api_key",
        sa.Column("sha256", Ordered, nullable=False),
        sa.Column("id", Ordered, nullable=False),
        sa.Column("organization_number", sa.BigInteger(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=True),
        sa.Column("revoked_at", Instant, nullable=True),
        sa.Column("last_used_at", Instant, nullable=True),
        sa.ForeignKeyConstraint(["organization_number"], ["organization.number"], name=op.f("fk_api_key_organization")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_api_key")),
        sa.UniqueConstraint("id", name=op.f("uq_api_key_id")),
    )
    op.create_table(
        "assignment",
        sa.Column("organization_number", sa.BigInteger(), nullable=False),
        sa.Column("customer_number", sa.BigInteger(), nullable=False),
        sa.Column("assigned_revision", sa.BigInteger(), nullable=False),
        sa.Column("device_identifier", Ordered, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_number", "customer_number"],
            ["customer.organization_number", "customer.number"],
            name=op.f("fk_assignment_customer"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_number", "device_identifier"],
            ["device.organization_number", "device.identifier"],
            name=op.f("fk_assignment_device"),
        ),
        sa.PrimaryKeyConstraint(
            "organization_number", "customer_number", "device_identifier", name=op.f("pk_assignment")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_assignment_device",
        "assignment",
        ["organization_number", "device_identifier", "customer_number", "assigned_revision"],
    )
    op.create_index(
        "ix_assignment_revision",
        "assignment",
        ["organization_number", "customer_number", "assigned_revision", "device_identifier"],
    )
