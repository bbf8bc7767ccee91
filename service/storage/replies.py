"""The answers that retries get, in SQL."""

from sqlalchemy import Connection, bindparam, func, insert, select
from sqlalchemy.exc import IntegrityError

from service.domain.unit_of_work import Reply
from service.storage.tables import reply

_FIND = select(reply.c.fingerprint, reply.c.answer).where(
    reply.c.organization_id == bindparam("organization_id"), reply.c.request_id == bindparam("request_id")
)
_KEEP = insert(reply).values(kept_at=func.clock_timestamp())


class Retry(Exception):
    """The transaction lost against another; nothing of it stays, and it can be run again."""


class Replies:
    """See `domain.unit_of_work.Replies`."""

    def __init__(self, connection: Connection, organization_id: str) -> None:
        self._connection = connection
        self._organization_id = organization_id

    def find(self, request_id: str) -> Reply | None:
        """Finds what a request id was answered."""
        row = self._connection.execute(
            _FIND, {"organization_id": self._organization_id, "request_id": request_id}
        ).one_or_none()
        return None if row is None else Reply(bytes(row.fingerprint), bytes(row.answer))

    def keep(self, request_id: str, kept: Reply) -> None:
        """Keeps an answer. Raises `Retry` if the request id has got one meanwhile."""
        values = {
            "organization_id": self._organization_id,
            "request_id": request_id,
            "fingerprint": kept.fingerprint,
            "answer": kept.answer,
        }
        try:
            self._connection.execute(_KEEP, values)
        except IntegrityError as error:
            raise Retry from error
