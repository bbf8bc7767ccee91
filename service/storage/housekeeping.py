"""What grows old and can go."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, delete, select, tuple_

from service.storage.database import Database
from service.storage.tables import reply

_BATCH = 1_000

_OLD = (
    select(reply.c.organization_id, reply.c.request_id)
    .where(reply.c.kept_at < bindparam("before", type_=reply.c.kept_at.type))
    .order_by(reply.c.kept_at)
    .limit(_BATCH)
)
_FORGET = delete(reply).where(tuple_(reply.c.organization_id, reply.c.request_id).in_(_OLD))


def forget_replies(database: Database, older_than: timedelta) -> int:
    """Deletes the answers of request ids that are older than that; in small parts, so that nobody waits long.

    Returns:
        How many there were.
    """
    forgotten = 0
    while True:
        with database.session() as connection:
            count = connection.execute(_FORGET, {"before": datetime.now(UTC) - older_than}).rowcount
        forgotten += count
        if count < _BATCH:
            return forgotten
