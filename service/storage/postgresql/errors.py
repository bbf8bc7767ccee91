"""What psycopg's errors mean."""

from typing import Any

import psycopg
from sqlalchemy import UniqueConstraint
from sqlalchemy.exc import IntegrityError

from service.storage.backend import Failure
from service.storage.tables import IDS

# Serialization failure, deadlock; no such prepared statement, prepared already, see `prepared`.
_RETRY = {"40001", "40P01", "26000", "42P05"}
_NOT_UNIQUE = "23505"
_IDS = {constraint.name for constraint in IDS}
_BUSY = {"55P03"}  # lock not available
_STOPPED = {"57014"}  # query cancelled
_AWAY_CLASSES = {"08", "53", "57", "58"}  # connection, resources, operator, system
_AWAY = {"28000", "28P01", "3D000"}  # no access, no such database
_READ_ONLY = {"25006"}


def failure(error: Exception) -> Failure:
    """Goes by the SQLSTATE. An operational error without one is a connection that was lost or never made."""
    cause: Any = getattr(error, "orig", error)
    state = getattr(cause, "sqlstate", None)
    if state in _RETRY or (state == _NOT_UNIQUE and cause.diag.constraint_name in _IDS):
        return Failure.RETRY
    if state in _BUSY:
        return Failure.BUSY
    if state in _STOPPED:
        return Failure.STOPPED
    if state in _READ_ONLY:
        return Failure.READ_ONLY
    if state in _AWAY or (state or "")[:2] in _AWAY_CLASSES:
        return Failure.AWAY
    lost = state is None and isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    invalidated = getattr(error, "connection_invalidated", False)
    return Failure.AWAY if lost or invalidated else Failure.DEFECT


def violates(error: IntegrityError, constraint: UniqueConstraint) -> bool:
    """Goes by the constraint's name."""
    cause: Any = error.orig
    return bool(cause.diag.constraint_name == constraint.name)
