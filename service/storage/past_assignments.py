"""Statements about the past: which devices a customer had at a revision, and which revision there was at a time."""

from typing import Any

from sqlalchemy import Subquery, Table, and_, bindparam, desc, select, union_all

from service.domain.values import RevisionState
from service.storage.statement import Statement
from service.storage.tables import assignment, customer_revision, device, past_assignment


def of_customer(table: Table) -> Any:
    """Restricts a statement to the rows of one customer."""
    return and_(
        table.c.organization_number == bindparam("organization_number"),
        table.c.customer_number == bindparam("customer_number"),
    )


def _page(table: Table, order: Any, began: Any, *conditions: Any) -> Subquery:
    """Selects a page of one part of a list. The page of the whole list is within the pages of its parts."""
    return (
        select(table.c.device_identifier, table.c.assigned_revision)
        .where(
            of_customer(table),
            table.c.device_identifier > bindparam("after"),
            began <= bindparam("revision"),
            *conditions,
        )
        .order_by(order)
        .limit(bindparam("limit"))
        .subquery()
    )


# The assignments at a revision: those that exist now and had begun, and those that had begun and ended later. Both are
# read in one statement, because an end moves a row from the one table to the other.
# The ended ones are those behind the revision in the order of the primary key. Expressions keep PostgreSQL from the
# indexes by device and by the revision of the beginning, from which it would read far more.
_still = _page(assignment, assignment.c.device_identifier, assignment.c.assigned_revision)
_ended = _page(
    past_assignment,
    past_assignment.c.device_identifier.concat(""),
    past_assignment.c.assigned_revision + 0,
    past_assignment.c.unassigned_revision > bindparam("revision"),
)
_had = union_all(
    select(_still.c.device_identifier, _still.c.assigned_revision),
    select(_ended.c.device_identifier, _ended.c.assigned_revision),
).subquery()
_listed = select(_had).order_by(_had.c.device_identifier).limit(bindparam("limit")).subquery()
# Subqueries, not joins: for a join PostgreSQL may read all revisions of the customer.
_device_id = (
    select(device.c.id)
    .where(
        device.c.organization_number == bindparam("organization_number"),
        device.c.identifier == _listed.c.device_identifier,
    )
    .scalar_subquery()
)
_assigned_at = (
    select(customer_revision.c.occurred_at)
    .where(of_customer(customer_revision), customer_revision.c.revision == _listed.c.assigned_revision)
    .scalar_subquery()
)
AT_REVISION = Statement(
    select(_listed.c.device_identifier, _device_id, _assigned_at).order_by(_listed.c.device_identifier)
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
