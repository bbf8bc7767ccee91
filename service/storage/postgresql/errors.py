"""What psycopg's errors mean."""

from typing import Any

import psycopg
from sqlalchemy import UniqueConstraint
from sqlalchemy.exc import IntegrityError

from service.storage.backend import Failure
from service.storage.tables import IDS

_STATES = {
    "40001": Failure.RETRY,  # serialization failure
    "40P01": Failure.RETRY,  # deadlock
    "26000": Failure.RETRY,  # no such prepared statement, see `prepared`
    "42P05": Failure.RETRY,  # prepared already
    "55P03": Failure.BUSY,  # lock not available
    "57014": Failure.STOPPED,  # query cancelled
    "25006": Failure.READ_ONLY,
    "53100": Failure.FULL,
    "28000": Failure.AWAY,  # no access
    "28P01": Failure.AWAY,
    "3D000": Failure.AWAY,  # no such database
}
_AWAY_CLASSES = {"08", "53", "57", "58"}  # connection, resources, operator, system
_NOT_UNIQUE = "23505"
_IDS = {constraint.name for constraint in IDS}


def failure(error: Exception) -> Failure:
    """Goes by the SQLSTATE. An operational error without one is a connection that was lost or never made."""
    cause: Any = getattr(error, "orig", error)
    state = getattr(cause, "sqlstate", None) or ""
    if (known := _STATES.get(state)) is not None:
        return known
    if state == _NOT_UNIQUE and cause.diag.constraint_name in _IDS:
        return Failure.RETRY
    lost = not state and isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    invalidated = getattr(error, "connection_invalidated", False)
    return Failure.AWAY if state[:2] in _AWAY_CLASSES or lost or invalidated else Failure.DEFECT


def violates(error: IntegrityError, constraint: UniqueConstraint) -> bool:
    """Goes by the constraint's name."""
    cause: Any = error.orig
    return bool(cause.diag.constraint_name == constraint.name)
