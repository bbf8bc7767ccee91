"""Organisations, keys, customers, devices, assignments and the record of their changes."""

import sqlalchemy as sa
from alembic import op

from service.storage.types import Instant, Ordered

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables of the first version."""
    op.create_table(
        "assignment_change",
        sa.Column("organization_id", Ordered, nullable=False),
        sa.Column("customer_id", Ordered, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("device_identifier", Ordered, nullable=False),
        sa.Column("change", sa.SmallInteger(), nullable=False),
        sa.Column("assigned_revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "organization_id",
            "customer_id",
            "revision",
            "device_identifier",
            name=op.f("pk_assignment_change"),
        ),
    )
    op.create_index(
        "ix_assignment_change_device",
        "assignment_change",
        ["organization_id", "device_identifier", "customer_id", "revision"],
    )
    op.create_table(
        "customer",
        sa.Column("organization_id", Ordered, nullable=False),
        sa.Column("id", Ordered, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", Ordered, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", Instant, nullable=False),
        sa.Column("device_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_customer")),
        sa.UniqueConstraint("organization_id", "email_key", name=op.f("uq_customer_organization_id_email_key")),
    )
    op.create_table(
        "customer_revision",
        sa.Column("organization_id", Ordered, nullable=False),
        sa.Column("customer_id", Ordered, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("operation_id", Ordered, nullable=False),
        sa.Column("occurred_at", Instant, nullable=False),
        sa.Column("device_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "customer_id", "revision", name=op.f("pk_customer_revision")),
    )
    op.create_index(
        op.f("ix_customer_revision_organization_id_operation_id"),
        "customer_revision",
        ["organization_id", "operation_id"],
    )
    op.create_table(
        "device",
        sa.Column("organization_id", Ordered, nullable=False),
        sa.Column("identifier", Ordered, nullable=False),
        sa.Column("id", Ordered, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "identifier", name=op.f("pk_device")),
    )
    op.create_table(
        "operation",
        sa.Column("organization_id", Ordered, nullable=False),
        sa.Column("id", Ordered, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("occurred_at", Instant, nullable=False),
        sa.Column("key_id", Ordered, nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("assigned_count", sa.Integer(), nullable=False),
        sa.Column("unassigned_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_operation")),
    )
    op.create_index(op.f("ix_operation_organization_id_occurred_at"), "operation", ["organization_id", "occurred_at"])
    op.create_table(
        "organization",
        sa.Column("id", Ordered, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization")),
        sa.UniqueConstraint("name", name=op.f("uq_organization_name")),
    )
    op.create_table(
        "reply",
        sa.Column("organization_id", Ordered, nullable=False),
        sa.Column("request_id", Ordered, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "request_id", name=op.f("pk_reply")),
    )
    op.create_index(op.f("ix_reply_kept_at"), "reply", ["kept_at"])
    op.create_table(
        "api_key",
        sa.Column("sha256", Ordered, nullable=False),
        sa.Column("id", Ordered, nullable=False),
        sa.Column("organization_id", Ordered, nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=True),
        sa.Column("revoked_at", Instant, nullable=True),
        sa.Column("last_used_at", Instant, nullable=True),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"], name=op.f("fk_api_key_organization")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_api_key")),
        sa.UniqueConstraint("id", name=op.f("uq_api_key_id")),
    )
    op.create_table(
        "assignment",
        sa.Column("organization_id", Ordered, nullable=False),
        sa.Column("customer_id", Ordered, nullable=False),
        sa.Column("device_identifier", Ordered, nullable=False),
        sa.Column("assigned_revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "customer_id"],
            ["customer.organization_id", "customer.id"],
            name=op.f("fk_assignment_customer"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "device_identifier"],
            ["device.organization_id", "device.identifier"],
            name=op.f("fk_assignment_device"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "customer_id", "device_identifier", name=op.f("pk_assignment")),
    )
    op.create_index(
        op.f("ix_assignment_organization_id_device_identifier"),
        "assignment",
        ["organization_id", "device_identifier"],
    )
