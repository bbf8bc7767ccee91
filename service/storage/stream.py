"""The stream of operations. Each operation gets its position after its commit, from a reader.

Positions that were assigned before the commit would become visible out of order: a reader at position 8 would miss a 7
that commits later. So a reader first assigns positions to the committed operations that have none, in the order of
their times, under a lock on the row of the organisation's stream; an operation that it does not see yet gets a later
position. Two operations of one customer commit in the order of their times, so their positions have the same order.
"""

from sqlalchemy import Connection, bindparam, select, text

from service.domain.errors import HistoryPruned
from service.domain.values import OperationRecord
from service.storage.database import Database
from service.storage.numbers import number_in_session
from service.storage.operation_records import RECORDED, recorded
from service.storage.tables import customer, customer_revision, operation, stream

_BATCH = 1_000

_WAITING = (
    select(operation.c.id)
    .where(operation.c.organization_number == bindparam("organization_number"), operation.c.position.is_(None))
    .order_by(operation.c.occurred_at)  # by the index of these alone; without it PostgreSQL may read the table
    .limit(1)
)
# A statement of its own before those that read, so that they read what the last holder of the lock has committed.
LOCK = text("""
INSERT INTO stream (organization_number, last_position) VALUES (:organization_number, 0)
ON CONFLICT (organization_number) DO UPDATE SET last_position = stream.last_position
RETURNING last_position
""")
_PRUNED = select(stream.c.pruned_position, stream.c.pruned_before).where(
    stream.c.organization_number == bindparam("organization_number")
)
_LAST = select(stream.c.last_position).where(stream.c.organization_number == bindparam("organization_number"))
_PLACE = text("""
UPDATE operation SET position = placed.position
FROM (
  SELECT id, :last + row_number() OVER (ORDER BY occurred_at, id) AS position
  FROM (
    SELECT id, occurred_at FROM operation
    WHERE organization_number = :organization_number AND position IS NULL
    ORDER BY occurred_at, id LIMIT :batch
  ) AS waiting
) AS placed
WHERE operation.organization_number = :organization_number AND operation.id = placed.id
""")
_MOVE = text(
    "UPDATE stream SET last_position = last_position + :count WHERE organization_number = :organization_number"
)

_BEHIND = RECORDED.where(operation.c.position > bindparam("after"))
_OF_CUSTOMER = select(customer_revision.c.operation_id).where(
    customer_revision.c.organization_number == bindparam("organization_number"),
    customer_revision.c.customer_number
    == select(customer.c.number)
    .where(
        customer.c.organization_number == bindparam("organization_number"), customer.c.id == bindparam("customer_id")
    )
    .scalar_subquery(),
)


class Stream:
    """Reads the operations of a database in the order of their positions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self, organization_id: str) -> int:
        """Assigns positions to all operations that have none. Returns the last position. Raises as `advance` does."""
        while True:
            last, more = self.advance(organization_id)
            if not more:
                return last

    def advance(self, organization_id: str) -> tuple[int, bool]:
        """Assigns positions to some of the operations that have none.

        Returns:
            The last position, and whether more operations may have none.

        Raises:
            Conflict, DatabaseUnavailable, Overloaded: as `Database.write` does.
        """
        with self._database.session(write=False) as connection:
            who = {"organization_number": number_in_session(connection, organization_id)}
            if connection.execute(_WAITING, who).first() is None:
                return self._last(connection, who), False
        with self._database.session() as connection:
            last: int = connection.execute(LOCK, who).scalar_one()
            count = connection.execute(_PLACE, {**who, "last": last, "batch": _BATCH}).rowcount
            connection.execute(_MOVE, {**who, "count": count})
        return last + count, count == _BATCH

    def behind(
        self, organization_id: str, after: int, limit: int, customer_id: str | None = None
    ) -> list[OperationRecord]:
        """Reads the operations after a position, in order.

        Raises:
            HistoryPruned: some of them are not kept any more.
        """
        statement = _BEHIND.order_by(operation.c.position).limit(limit)
        parameters: dict[str, object] = {"after": after}
        if customer_id is not None:
            statement = statement.where(operation.c.id.in_(_OF_CUSTOMER))
            parameters["customer_id"] = customer_id
        with self._database.session(write=False) as connection:
            number = number_in_session(connection, organization_id)
            pruned = connection.execute(_PRUNED, {"organization_number": number}).one_or_none()
            if pruned is not None and after < pruned[0]:
                raise HistoryPruned(pruned[1])
            return recorded(connection, number, statement, parameters)

    def _last(self, connection: Connection, who: dict[str, int]) -> int:
        last: int = connection.execute(_LAST, who).scalar_one_or_none() or 0
        return last
