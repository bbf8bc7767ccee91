"""Operations in SQL: the record, and how it is read."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy
from sqlalchemy import Select, bindparam, func, literal, select, tuple_

from service.domain.cancellation import Cancellation
from service.domain.errors import Conflict
from service.domain.values import AssignmentChange, Change, Operation, OperationFilter, OperationRecord, Revertible
from service.storage import reverts
from service.storage.backend import Backend
from service.storage.connection import Connection
from service.storage.statement import Statement
from service.storage.tables import assignment_change, customer_revision, operation
from service.storage.types import Instant, Ordered, TextArray, among

_SHOWN_CUSTOMERS = 1_000

# So many customers take less than a tenth of a second to write, and are written under the present time.
_AT_ONCE = 1_000
# How far ahead an operation of more customers is dated, for each of them; on an idle machine they need less.
_LEAD = timedelta(microseconds=50)
# How long after an operation's time its commit may begin.
_LATE = timedelta(seconds=0.5)
_TRIES = 5

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
_TIMES = Statement(
    select(operation.c.occurred_at, func.clock_timestamp(type_=Instant)).where(
        operation.c.organization_id == bindparam("organization_id"), operation.c.id == bindparam("operation_id")
    )
)
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
        among(customer_revision.c.operation_id, bindparam("operation_ids", type_=TextArray)),
    )
    .subquery()
)
_CUSTOMERS = (
    select(_ranked.c.operation_id, _ranked.c.customer_id)
    .where(_ranked.c.place <= _SHOWN_CUSTOMERS)
    .order_by(_ranked.c.operation_id, _ranked.c.place)
)


class Operations:
    """See `domain.unit_of_work.Operations`."""

    def __init__(self, connection: Connection, organization_id: str, backend: Backend) -> None:
        self._connection = connection
        self._organization_id = organization_id
        self._backend = backend
        self._noted: Operation | None = None

    def record(self, done: Operation) -> None:
        """Notes an operation, for the end of the transaction."""
        self._noted = done

    def finish(self, cancellation: Cancellation) -> None:
        """Writes the noted operation and gives each of its customers the next revision: the transaction's last act.

        Raises:
            Conflict: the database was too slow for the time that it was to be.
            Cancelled, DeadlineExceeded: the caller's patience ended first.
        """
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
        if len(done.deltas) > _AT_ONCE:
            self._record_ahead(values, done.deltas, cancellation)
        else:
            self._backend.record_operation(self._connection, values, done.deltas, lead=timedelta(0))

    def _record_ahead(self, values: Mapping[str, Any], deltas: Mapping[str, int], cancellation: Cancellation) -> None:
        """Writes an operation that takes long to write under a time to come, and waits for that time.

        If it has passed by then, it is written once more, further ahead: what `at` was answered for a moment that is a
        second past stays true, because no operation is committed long after its time.
        """
        lead = len(deltas) * _LEAD
        for _ in range(_TRIES):
            with self._connection.core.begin_nested() as written:
                self._backend.record_operation(self._connection, values, deltas, lead=lead)
                while (left := self._until(values)) > timedelta(0):
                    cancellation.wait(left.total_seconds())
                if left >= -_LATE:
                    return
                written.rollback()
            lead = 2 * (lead - left)
        raise Conflict

    def _until(self, recorded: Mapping[str, Any]) -> timedelta:
        """Tells how long it is until an operation's time, on the clock that it was read from."""
        who = {"organization_id": recorded["organization_id"], "operation_id": recorded["id"]}
        ((occurred_at, now),) = self._connection.rows(_TIMES, who)
        until: timedelta = occurred_at - now
        return until

    def find(self, operation_id: str) -> OperationRecord | None:
        """Finds an operation. Ids are not checked for syntax, but PostgreSQL takes no NUL character; no id has one."""
        if "\0" in operation_id:
            return None
        return next(iter(self._recorded(_BY_ID, operation_id=operation_id)), None)

    def page(self, wanted: OperationFilter, before: tuple[datetime, str] | None, limit: int) -> list[OperationRecord]:
        """Lists operations, the newest first, from behind the one of a time and an id."""
        if wanted.key_id is not None and "\0" in wanted.key_id:
            return []
        statement, id_, occurred_at, newest_first = _sought(wanted)
        if wanted.key_id is not None:
            statement = statement.where(operation.c.key_id == wanted.key_id)
        if wanted.since is not None:
            statement = statement.where(occurred_at >= wanted.since)
        if wanted.until is not None:
            statement = statement.where(occurred_at < wanted.until)
        if before is not None:
            at, operation_id = before
            behind = tuple_(literal(at, operation.c.occurred_at.type), literal(operation_id, Ordered))
            statement = statement.where(occurred_at <= at, tuple_(occurred_at, id_) < behind)
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
        rows = self._backend.operation_changes(self._connection, parameters)
        return [AssignmentChange(row[0], row[1], Change(row[2])) for row in rows]

    def prepare_revert(self, operation_id: str, shown: int) -> Revertible:
        """Locks the operation's customers and finds out which of its devices have not changed owners since."""
        return reverts.prepare(self._connection.core, self._backend, self._organization_id, operation_id, shown)

    def apply_revert(self) -> tuple[dict[str, int], int, int]:
        """Does to the devices found the opposite of what the operation did."""
        return reverts.apply(self._connection.core, self._organization_id)

    def _recorded(self, statement: Select[Any], **parameters: Any) -> list[OperationRecord]:
        return recorded(self._connection.core, self._organization_id, statement, parameters)


def _sought(wanted: OperationFilter) -> tuple[Select[Any], Any, Any, list[Any]]:
    """Selects the operations that changed a customer's assignments, or a device's, or this one pair's, or all.

    It begins at the revisions or changes that are looked for, because most operations are others. A customer's
    revisions are in the order of their times, so that a page of them is read off their key.

    Returns:
        The statement, where it has the operation's id and time, and its order, the newest first.
    """
    if wanted.customer_id is None and wanted.device_identifier is None:
        own = operation.c
        return RECORDED, own.id, own.occurred_at, [own.occurred_at.desc(), own.id.desc()]
    touched = _touching(wanted).subquery()
    statement = RECORDED.join(touched, touched.c.operation_id == operation.c.id)
    id_, at = touched.c.operation_id, touched.c.occurred_at
    return statement, id_, at, [at.desc(), id_.desc()] if wanted.customer_id is None else [touched.c.revision.desc()]


def _touching(wanted: OperationFilter) -> Select[Any]:
    """Selects the id, the time and the revision of each; of a device's, in which customers differ, no revision."""
    revisions, changes = customer_revision.c, assignment_change.c
    if wanted.device_identifier is None:
        return select(revisions.operation_id, revisions.occurred_at, revisions.revision).where(
            revisions.organization_id == bindparam("organization_id"), revisions.customer_id == wanted.customer_id
        )
    # Looked up change by change. Of a join both planners expect far too much, and begin at the wrong end.
    made = (
        select(column)
        .where(
            revisions.organization_id == bindparam("organization_id"),
            revisions.customer_id == changes.customer_id,
            revisions.revision == changes.revision,
        )
        .scalar_subquery()
        .label(column.name)
        for column in (revisions.operation_id, revisions.occurred_at)
    )
    found = select(*made).where(
        changes.organization_id == bindparam("organization_id"), changes.device_identifier == wanted.device_identifier
    )
    if wanted.customer_id is None:
        return found.distinct()  # a transfer changes a device for two customers
    return found.add_columns(changes.revision).where(changes.customer_id == wanted.customer_id)


def recorded(
    connection: sqlalchemy.Connection, organization_id: str, statement: Select[Any], parameters: dict[str, Any]
) -> list[OperationRecord]:
    """Reads operations and their customers."""
    who = {"organization_id": organization_id}
    rows = connection.execute(statement, {**who, **parameters}).all()
    customers = _customers(connection, organization_id, [row.id for row in rows])
    return [
        OperationRecord(
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
