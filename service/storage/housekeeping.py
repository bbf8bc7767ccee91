"""Deletes stored answers that are no longer needed."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, select

from service.storage.database import Database
from service.storage.tables import reply
from service.storage.types import TextArray, among

_BATCH = 1_000

_IS_OLD = reply.c.kept_at < bindparam("before", type_=reply.c.kept_at.type)
_OLD = select(reply.c.organization_number, reply.c.request_id).where(_IS_OLD).order_by(reply.c.kept_at).limit(_BATCH)
# By the key, because the planner reads half a million rows to find a thousand old ones itself.
# The time is tested again: another process may have deleted the answer, and the request id may have a new one.
_FORGET = delete(reply).where(
    reply.c.organization_number == bindparam("organization_number"),
    among(reply.c.request_id, bindparam("request_ids", type_=TextArray)),
    _IS_OLD,
)


def forget_replies(database: Database, older_than: timedelta) -> int:
    """Deletes the answers that are older than that, in small transactions, so that no call waits long.

    Returns:
        How many were deleted.
    """
    forgotten = 0
    while True:
        with database.session() as connection:
            found, deleted = _forget_some(connection, datetime.now(UTC) - older_than)
        forgotten += deleted
        if found < _BATCH:
            return forgotten


def _forget_some(connection: Connection, before: datetime) -> tuple[int, int]:
    """Returns how many were found, and how many of these were deleted."""
    rows = connection.execute(_OLD, {"before": before}).all()
    old: dict[int, list[str]] = {}
    for organization_number, request_id in rows:
        old.setdefault(organization_number, []).append(request_id)
    deleted = 0
    for organization_number, request_ids in sorted(old.items()):
        parameters = {"organization_number": organization_number, "request_ids": sorted(request_ids), "before": before}
        deleted += connection.execute(_FORGET, parameters).rowcount
    return len(rows), deleted
