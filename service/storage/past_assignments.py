"""Statements about the past: which devices a customer had at a revision, and which revision there was at a time."""

from typing import Any

from sqlalchemy import Subquery, Table, and_, bindparam, desc, select, union_all

from service.domain.values import Change, RevisionState
from service.storage.statement import Statement
from service.storage.tables import assignment, assignment_change, customer_revision, device


def of_customer(table: Table) -> Any:
    """Restricts a statement to the rows of one customer."""
    return and_(
        table.c.organization_id == bindparam("organization_id"),
        table.c.customer_id == bindparam("customer_id"),
    )


def _page(table: Table, *conditions: Any) -> Subquery:
    """Selects a page of one part of a list. The page of the whole list is within the pages of its parts."""
    return (
        select(table.c.device_identifier, table.c.assigned_revision)
        .where(
            of_customer(table),
            table.c.device_identifier > bindparam("after"),
            table.c.assigned_revision <= bindparam("revision"),
            *conditions,
        )
        .order_by(table.c.device_identifier)
        .limit(bindparam("limit"))
        .subquery()
    )


# The assignments at a revision: those that exist now and had begun, and those that had begun and ended later. Both are
# read in one statement, because an end moves a row from the one table to the other.
_still = _page(assignment)
_ended = _page(
    assignment_change,
    assignment_change.c.revision > bindparam("revision"),
    assignment_change.c.change == Change.UNASSIGNED.value,
)
_had = union_all(
    select(_still.c.device_identifier, _still.c.assigned_revision),
    select(_ended.c.device_identifier, _ended.c.assigned_revision),
).subquery()
AT_REVISION = Statement(
    select(_had.c.device_identifier, device.c.id, customer_revision.c.occurred_at)
    .join(
        device,
        and_(
            device.c.organization_id == bindparam("organization_id"),
            device.c.identifier == _had.c.device_identifier,
        ),
    )
    .join(
        customer_revision,
        and_(of_customer(customer_revision), customer_revision.c.revision == _had.c.assigned_revision),
    )
    .order_by(_had.c.device_identifier)
    .limit(bindparam("limit"))
)

_REVISION = select(
    customer_revision.c.revision, customer_revision.c.device_count, customer_revision.c.occurred_at
).where(of_customer(customer_revision))
STATE_AT = Statement(
    _REVISION.where(customer_revision.c.occurred_at <= bindparam("at"))
    .order_by(desc(customer_revision.c.revision))
    .limit(1)
)
STATE_AT_REVISION = Statement(_REVISION.where(customer_revision.c.revision == bindparam("revision")))

BEFORE_FIRST = RevisionState(0, 0)
