"""Fields of customers and devices, reverts, and the stream of operations."""

import sqlalchemy as sa
from alembic import op

from service.storage.types import Ordered

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds columns, with values for the existing rows, and the two indexes of the stream."""
    op.add_column("organization", sa.Column("last_position", sa.BigInteger(), nullable=False, server_default="0"))
    for column, default in (("phone", ""), ("address", ""), ("metadata", "{}")):
        op.add_column("customer", sa.Column(column, sa.Text(), nullable=False, server_default=default))
    op.add_column("device", sa.Column("properties", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("operation", sa.Column("reverts_operation_id", Ordered))
    op.add_column("operation", sa.Column("position", sa.BigInteger()))
    op.create_index("ix_operation_position", "operation", ["organization_id", "position"], unique=True)
    op.create_index(
        "ix_operation_without_position",
        "operation",
        ["organization_id", "occurred_at"],
        postgresql_where=sa.text("position IS NULL"),
        sqlite_where=sa.text("position IS NULL"),
    )
