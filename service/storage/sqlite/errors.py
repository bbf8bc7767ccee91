"""What the errors of Python's module `sqlite3` mean."""

import sqlite3

from sqlalchemy import UniqueConstraint
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.schema import ColumnCollectionConstraint

from service.storage.backend import Failure
from service.storage.tables import IDS

_AWAY = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
}

_OTHERS = {
    sqlite3.SQLITE_BUSY: Failure.BUSY,
    sqlite3.SQLITE_LOCKED: Failure.BUSY,
    sqlite3.SQLITE_INTERRUPT: Failure.STOPPED,
    sqlite3.SQLITE_FULL: Failure.FULL,
    sqlite3.SQLITE_READONLY: Failure.READ_ONLY,
}


def failure(error: Exception) -> Failure:
    """Goes by SQLite's primary result code."""
    cause = getattr(error, "orig", error)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_CONSTRAINT and str(cause) in map(_violated, IDS):
        return Failure.RETRY
    if code in _OTHERS:
        return _OTHERS[code]
    return Failure.AWAY if code in _AWAY else Failure.DEFECT


def violates(error: IntegrityError, constraint: UniqueConstraint) -> bool:
    """Goes by the columns, which are all that SQLite names, in the constraint's order."""
    return str(error.orig) == _violated(constraint)


def _violated(constraint: ColumnCollectionConstraint) -> str:
    columns = ", ".join(f"{column.table.name}.{column.name}" for column in constraint.columns)
    return f"UNIQUE constraint failed: {columns}"
