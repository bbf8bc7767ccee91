"""What the errors of Python's module `sqlite3` mean."""

import sqlite3

from sqlalchemy import UniqueConstraint
from sqlalchemy.exc import IntegrityError

from service.storage.backend import Failure

_AWAY = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
}


def failure(error: Exception) -> Failure:
    """Goes by SQLite's primary result code."""
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Failure.BUSY
    if code == sqlite3.SQLITE_INTERRUPT:
        return Failure.STOPPED
    return Failure.AWAY if code in _AWAY else Failure.DEFECT


def violates(error: IntegrityError, constraint: UniqueConstraint) -> bool:
    """Goes by the columns, which are all that SQLite names, in the constraint's order."""
    columns = ", ".join(f"{column.table.name}.{column.name}" for column in constraint.columns)
    return str(error.orig) == f"UNIQUE constraint failed: {columns}"
