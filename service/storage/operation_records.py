"""Reads the records of operations, with their customers."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy
from sqlalchemy import Select, and_, bindparam, func, select, union_all

from service.domain.values import OperationFilter, OperationRecord
from service.storage.tables import assignment, customer, customer_revision, operation, past_assignment
from service.storage.types import TextArray, among

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
).where(operation.c.organization_number == bindparam("organization_number"))

_ranked = (
    select(
        customer_revision.c.operation_id,
        customer_revision.c.customer_number,
        func.row_number()
        .over(partition_by=customer_revision.c.operation_id, order_by=customer_revision.c.customer_number)
        .label("place"),
    )
    .where(
        customer_revision.c.organization_number == bindparam("organization_number"),
        among(customer_revision.c.operation_id, bindparam("operation_ids", type_=TextArray)),
    )
    .subquery()
)
_CUSTOMERS = (
    select(_ranked.c.operation_id, customer.c.id)
    .join(
        customer,
        and_(
            customer.c.organization_number == bindparam("organization_number"),
            customer.c.number == _ranked.c.customer_number,
        ),
    )
    .where(_ranked.c.place <= _SHOWN_CUSTOMERS)
    .order_by(_ranked.c.operation_id, _ranked.c.place)
)


def matching(wanted: OperationFilter) -> tuple[Select[Any], Any, Any, list[Any]]:
    """Selects the operations that changed the assignments of a customer, of a device, of both, or any.

    The statement starts from the customer's revisions or the device's changes, because most operations are about
    others. The revisions of a customer are in the order of their times, so that a page of them is read from their key.

    Returns:
        The statement, its columns of the operation's id and time, and its order, the newest first.
    """
    if wanted.customer_id is None and wanted.device_identifier is None:
        own = operation.c
        return RECORDED, own.id, own.occurred_at, [own.occurred_at.desc(), own.id.desc()]
    touched = _touching(wanted).subquery()
    statement = RECORDED.join(touched, touched.c.operation_id == operation.c.id)
    id_, at = touched.c.operation_id, touched.c.occurred_at
    return statement, id_, at, [at.desc(), id_.desc()] if wanted.customer_id is None else [touched.c.revision.desc()]


def _touching(wanted: OperationFilter) -> Select[Any]:
    """Selects id and time of each operation, and the revision if a customer is given."""
    revisions = customer_revision.c
    number = (
        select(customer.c.number)
        .where(customer.c.organization_number == bindparam("organization_number"), customer.c.id == wanted.customer_id)
        .scalar_subquery()
    )
    if wanted.device_identifier is None:
        return select(revisions.operation_id, revisions.occurred_at, revisions.revision).where(
            revisions.organization_number == bindparam("organization_number"), revisions.customer_number == number
        )
    changes = union_all(
        *(
            select(table.c.customer_number, revision.label("revision")).where(
                table.c.organization_number == bindparam("organization_number"),
                table.c.device_identifier == wanted.device_identifier,
                *(() if wanted.customer_id is None else (table.c.customer_number == number,)),
            )
            for table, revision in (
                (assignment, assignment.c.assigned_revision),
                (past_assignment, past_assignment.c.assigned_revision),
                (past_assignment, past_assignment.c.unassigned_revision),
            )
        )
    ).subquery()
    # A subquery for each change: for a join both planners expect too many rows and start from the wrong table.
    made = (
        select(column)
        .where(
            revisions.organization_number == bindparam("organization_number"),
            revisions.customer_number == changes.c.customer_number,
            revisions.revision == changes.c.revision,
        )
        .correlate(changes)
        .scalar_subquery()
        .label(column.name)
        for column in (revisions.operation_id, revisions.occurred_at)
    )
    found = select(*made).select_from(changes)
    # A transfer changes a device for two customers.
    return found.distinct() if wanted.customer_id is None else found.add_columns(changes.c.revision)


def recorded(
    connection: sqlalchemy.Connection, organization_number: int, statement: Select[Any], parameters: dict[str, Any]
) -> list[OperationRecord]:
    """Reads operations and their customers."""
    who = {"organization_number": organization_number}
    rows = connection.execute(statement, {**who, **parameters}).all()
    customers = _customers(connection, organization_number, [row.id for row in rows])
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
    connection: sqlalchemy.Connection, organization_number: int, operation_ids: Iterable[str]
) -> dict[str, list[str]]:
    listed = list(operation_ids)
    found: dict[str, list[str]] = {}
    if listed:
        parameters = {"organization_number": organization_number, "operation_ids": listed}
        for operation_id, customer_id in connection.execute(_CUSTOMERS, parameters):
            found.setdefault(operation_id, []).append(customer_id)
    return {operation_id: sorted(customer_ids) for operation_id, customer_ids in found.items()}
