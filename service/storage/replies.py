"""Stored answers, which retries with the same request id get."""

from sqlalchemy import bindparam, select, text

from service.domain.values import Reply
from service.storage.connection import Connection
from service.storage.statement import Statement
from service.storage.tables import reply

# The lock keeps no other transaction out. It is there because PostgreSQL writes it to its log: the commit of a retry
# then waits, after the first call's commit, for the disk and for the standby. The first call may have been answered
# with an unknown outcome.
_FIND = Statement(
    select(reply.c.fingerprint, reply.c.answer)
    .where(
        reply.c.organization_number == bindparam("organization_number"), reply.c.request_id == bindparam("request_id")
    )
    .with_for_update(read=True, key_share=True)
)
_KEEP = Statement(
    text("""
INSERT INTO reply (organization_number, request_id, fingerprint, answer, kept_at)
VALUES (:organization_number, :request_id, :fingerprint, :answer, clock_timestamp())
ON CONFLICT (organization_number, request_id) DO NOTHING
""")
)


class Retry(Exception):
    """The transaction was in conflict with another. It is rolled back and can be run again."""


class Replies:
    """See `unit_of_work.Replies`."""

    def __init__(self, connection: Connection, organization_number: int) -> None:
        self._connection = connection
        self._organization_number = organization_number

    def find(self, request_id: str) -> Reply | None:
        """Finds the answer of a request id."""
        parameters = {"organization_number": self._organization_number, "request_id": request_id}
        rows = self._connection.rows(_FIND, parameters)
        return Reply(*rows[0]) if rows else None

    def keep(self, request_id: str, kept: Reply) -> None:
        """Stores an answer. Raises `Retry` if another transaction has stored one for the request id meanwhile."""
        values = {
            "organization_number": self._organization_number,
            "request_id": request_id,
            "fingerprint": kept.fingerprint,
            "answer": kept.answer,
        }
        if not self._connection.count(_KEEP, values):
            raise Retry
