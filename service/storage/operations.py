"""Operations in SQL: the record, and how it is read."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import Select, and_, bindparam, func, literal, select, tuple_

from service.domain.unit_of_work import (
    AssignmentChange,
    Change,
    Operation,
    OperationFilter,
    Recorded,
    Revertible,
)
from service.storage import reverts
from service.storage.connection import Connection
from service.storage.dialects import Dialect
from service.storage.tables import assignment_change, customer_revision, operation
from service.storage.types import Ordered, TextArray, among

_SHOWN_CUSTOMERS = 1_000

RECORDED = select(
    operation.c.id,
    operation.c.kind,
    operation.c.occurred_at,
    operation.c.key_id,
    operation.c.note,
    operation.c.assigned_count,
    operation.c.unassigned_count,
    operation.c.reverts_operation_id,
    operation.c.position,
).where(operation.c.organization_id == bindparam("organization_id"))
_BY_ID = RECORDED.where(operation.c.id == bindparam("operation_id"))

_ranked = (
    select(
        customer_revision.c.operation_id,
        customer_revision.c.customer_id,
        func.row_number()
        .over(partition_by=customer_revision.c.operation_id, order_by=customer_revision.c.customer_id)
        .label("place"),
    )
    .where(
        customer_revision.c.organization_id == bindparam("organization_id"),
        among(customer_revision.c.operation_id, bindparam("operation_ids", type_=TextArray())),
    )
    .subquery()
)
_CUSTOMERS = (
    select(_ranked.c.operation_id, _ranked.c.customer_id)
    .where(_ranked.c.place <= _SHOWN_CUSTOMERS)
    .order_by(_ranked.c.operation_id, _ranked.c.place)
)

_CHANGES = (
    select(assignment_change.c.customer_id, assignment_change.c.device_identifier, assignment_change.c.change)
    .join(
        customer_revision,
        and_(
            customer_revision.c.organization_id == assignment_change.c.organization_id,
            customer_revision.c.customer_id == assignment_change.c.customer_id,
            customer_revision.c.revision == assignment_change.c.revision,
        ),
    )
    .where(
        customer_revision.c.organization_id == bindparam("organization_id"),
        customer_revision.c.operation_id == bindparam("operation_id"),
        # The first condition says nothing new, but lets the index skip the customers that are done.
        customer_revision.c.customer_id >= bindparam("after_customer"),
        tuple_(assignment_change.c.customer_id, assignment_change.c.device_identifier)
        > tuple_(bindparam("after_customer", type_=Ordered), bindparam("after_device", type_=Ordered)),
    )
    .order_by(assignment_change.c.customer_id, assignment_change.c.device_identifier)
    .limit(bindparam("limit"))
)


class Operations:
    """See `domain.unit_of_work.Operations`."""

    def __init__(self, connection: Connection, organization_id: str, dialect: Dialect) -> None:
        self._connection = connection
        self._organization_id = organization_id
        self._dialect = dialect
        self._noted: Operation | None = None

    def record(self, done: Operation) -> None:
        """Notes an operation, for the end of the transaction."""
        self._noted = done

    def finish(self) -> None:
        """Writes the noted operation and gives each of its customers the next revision: the transaction's last act."""
        if self._noted is None:
            return
        done = self._noted
        values = {
            "organization_id": self._organization_id,
            "id": done.id,
            "kind": done.kind,
            "key_id": done.key_id,
            "note": done.note,
            "assigned_count": done.assigned_count,
            "unassigned_count": done.unassigned_count,
            "reverts_operation_id": done.reverts_operation_id,
        }
        self._dialect.record_operation(self._connection, values, done.deltas)

    def find(self, operation_id: str) -> Recorded | None:
        """Finds an operation. Ids are not checked for syntax, but PostgreSQL takes no NUL character; no id has one."""
        if "\0" in operation_id:
            return None
        return next(iter(self._recorded(_BY_ID, operation_id=operation_id)), None)

    def page(self, wanted: OperationFilter, before: tuple[datetime, str] | None, limit: int) -> list[Recorded]:
        """Lists operations, the newest first, from behind the one of a time and an id."""
        statement = RECORDED
        if wanted.customer_id is not None or wanted.device_identifier is not None:
            statement = statement.where(operation.c.id.in_(_touching(wanted, self._organization_id)))
        if wanted.key_id is not None:
            if "\0" in wanted.key_id:
                return []
            statement = statement.where(operation.c.key_id == wanted.key_id)
        if wanted.since is not None:
            statement = statement.where(operation.c.occurred_at >= wanted.since)
        if wanted.until is not None:
            statement = statement.where(operation.c.occurred_at < wanted.until)
        if before is not None:
            at, operation_id = before
            behind = tuple_(literal(at, operation.c.occurred_at.type), literal(operation_id, Ordered))
            statement = statement.where(
                operation.c.occurred_at <= at, tuple_(operation.c.occurred_at, operation.c.id) < behind
            )
        newest_first = (operation.c.occurred_at.desc(), operation.c.id.desc())
        return self._recorded(statement.order_by(*newest_first).limit(limit))

    def changes(self, operation_id: str, after: tuple[str, str], limit: int) -> list[AssignmentChange]:
        """Lists what an operation did, by customer and device, from behind such a pair."""
        parameters = {
            "organization_id": self._organization_id,
            "operation_id": operation_id,
            "after_customer": after[0],
            "after_device": after[1],
            "limit": limit,
        }
        rows = self._connection.core.execute(_CHANGES, parameters)
        return [AssignmentChange(row[0], row[1], Change(row[2])) for row in rows]

    def prepare_revert(self, operation_id: str, shown: int) -> Revertible:
        """Locks the operation's customers and finds out which of its devices have not changed owners since."""
        return reverts.prepare(self._connection.core, self._organization_id, operation_id, shown)

    def apply_revert(self) -> tuple[dict[str, int], int, int]:
        """Does to the devices found the opposite of what the operation did."""
        return reverts.apply(self._connection.core, self._organization_id)

    def _recorded(self, statement: Select[Any], **parameters: Any) -> list[Recorded]:
        return recorded(self._connection.core, self._organization_id, statement, parameters)


def _touching(wanted: OperationFilter, organization_id: str) -> Select[Any]:
    """Selects the ids of the operations that changed a customer's assignments, or a device's, or this one pair's."""
    statement = select(customer_revision.c.operation_id).where(customer_revision.c.organization_id == organization_id)
    if wanted.customer_id is not None:
        statement = statement.where(customer_revision.c.customer_id == wanted.customer_id)
    if wanted.device_identifier is None:
        return statement
    return statement.join(
        assignment_change,
        and_(
            assignment_change.c.organization_id == customer_revision.c.organization_id,
            assignment_change.c.customer_id == customer_revision.c.customer_id,
            assignment_change.c.revision == customer_revision.c.revision,
        ),
    ).where(assignment_change.c.device_identifier == wanted.device_identifier)


def recorded(
    connection: sqlalchemy.Connection, organization_id: str, statement: Select[Any], parameters: dict[str, Any]
) -> list[Recorded]:
    """Reads operations and their customers."""
    who = {"organization_id": organization_id}
    rows = connection.execute(statement, {**who, **parameters}).all()
    customers = _customers(connection, organization_id, [row.id for row in rows])
    return [
        Recorded(
            id=row.id,
            kind=row.kind,
            occurred_at=row.occurred_at,
            key_id=row.key_id or "",
            note=row.note,
            customer_ids=customers.get(row.id, []),
            assigned_count=row.assigned_count,
            unassigned_count=row.unassigned_count,
            reverts_operation_id=row.reverts_operation_id or "",
            position=row.position or 0,
        )
        for row in rows
    ]


def _customers(
    connection: sqlalchemy.Connection, organization_id: str, operation_ids: Iterable[str]
) -> dict[str, list[str]]:
    listed = list(operation_ids)
    found: dict[str, list[str]] = {}
    if listed:
        parameters = {"organization_id": organization_id, "operation_ids": listed}
        for operation_id, customer_id in connection.execute(_CUSTOMERS, parameters):
            found.setdefault(operation_id, []).append(customer_id)
    return found
