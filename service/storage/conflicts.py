"""Which constraint an integrity error is about."""

import psycopg
from sqlalchemy import UniqueConstraint
from sqlalchemy.exc import IntegrityError


def violates(error: IntegrityError, constraint: UniqueConstraint) -> bool:
    """Whether a row would have broken this unique constraint, and not another one."""
    cause = error.orig
    if isinstance(cause, psycopg.Error):
        return cause.diag.constraint_name == constraint.name
    # SQLite names the columns, in the constraint's order, and nothing else.
    columns = ", ".join(f"{column.table.name}.{column.name}" for column in constraint.columns)
    return str(cause) == f"UNIQUE constraint failed: {columns}"
