"""Who owns devices, now and at a past instant, in SQL."""

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    FromClause,
    bindparam,
    func,
    null,
    select,
    union_all,
)

from service.domain.values import Change, Owner, Ownership
from service.runtime.chunks import parts, weighed
from service.storage.connection import Connection
from service.storage.statement import Statement
from service.storage.tables import assignment, assignment_change, customer, customer_revision, device
from service.storage.types import Instant, TextArray, among

_WANTED = bindparam("identifiers", type_=TextArray)
_ORGANIZATION: BindParameter[str] = bindparam("organization_id")
_AT = bindparam("at", type_=Instant)


def _moment(of: FromClause, revision: Any) -> Any:
    """The time of a customer's revision, looked up by its key.

    It is no join, because the planner expects hundreds of rows of one, and reads all of an organisation's revisions.
    """
    return (
        select(customer_revision.c.occurred_at)
        .where(
            customer_revision.c.organization_id == _ORGANIZATION,
            customer_revision.c.customer_id == of.c.customer_id,
            customer_revision.c.revision == revision,
        )
        .scalar_subquery()
    )


_now = select(assignment.c.device_identifier, assignment.c.customer_id, assignment.c.assigned_revision).where(
    assignment.c.organization_id == _ORGANIZATION, among(assignment.c.device_identifier, _WANTED)
)
_ended_later = select(
    assignment_change.c.device_identifier, assignment_change.c.customer_id, assignment_change.c.assigned_revision
).where(
    assignment_change.c.organization_id == _ORGANIZATION,
    assignment_change.c.change == Change.UNASSIGNED.value,
    among(assignment_change.c.device_identifier, _WANTED),
    _moment(assignment_change, assignment_change.c.revision) > _AT,
)


def _owners(held: FromClause, *conditions: Callable[[Any], Any]) -> CompoundSelect[Any]:
    # Materialized: PostgreSQL would look the time up again wherever it is used.
    dated = (
        select(held.c.device_identifier, held.c.customer_id, _moment(held, held.c.assigned_revision).label("since"))
        .cte("dated")
        .prefix_with("MATERIALIZED")
    )
    ranked = (
        select(
            dated,
            func.count().over(partition_by=dated.c.device_identifier).label("owner_count"),
            func.row_number()
            .over(partition_by=dated.c.device_identifier, order_by=(dated.c.since, dated.c.customer_id))
            .label("place"),
        )
        .where(*(condition(dated.c.since) for condition in conditions))
        .subquery()
    )
    email = select(customer.c.email).where(
        customer.c.organization_id == _ORGANIZATION, customer.c.id == ranked.c.customer_id
    )
    columns = (
        ranked.c.customer_id,
        email.scalar_subquery().label("email"),
        ranked.c.since,
        ranked.c.owner_count,
        ranked.c.place,
    )
    owned = select(ranked.c.device_identifier, *columns).where(ranked.c.place <= bindparam("limit"))
    # With them in one statement, and so at one moment, the devices that exist at all. Not joined: what is expected of a
    # list of unknown length would make that join a loop in a loop.
    nobody = [null().label(column.name) for column in columns]
    existing = select(device.c.identifier, *nobody).where(
        device.c.organization_id == _ORGANIZATION, among(device.c.identifier, _WANTED)
    )
    # The clock too. First, because a list's first part is read first: so right behind the look at the tables.
    none = null().label
    clock = select(
        none("device_identifier"),
        none("customer_id"),
        none("email"),
        func.clock_timestamp(type_=Instant).label("since"),
        none("owner_count"),
        none("place"),
    )
    return union_all(clock, owned, existing)


_NOW = Statement(_owners(_now.subquery()))
# Half-open: an assignment counts at the instant that it began, and no longer at the instant that it ended.
_THEN = Statement(_owners(union_all(_now, _ended_later).subquery(), lambda since: since <= _AT))


def owners(
    connection: Connection, organization_id: str, identifiers: Sequence[str], at: datetime | None, limit: int
) -> Ownership:
    """Finds the owners of devices, at most so many of each, those of longest standing first.

    Returns:
        They, by device; a device that does not exist is not in it. All is of one statement, so of one moment.
    """
    parameters: dict[str, Any] = {
        "organization_id": organization_id,
        "identifiers": list(identifiers),
        "limit": limit,
    }
    rows = connection.rows(_NOW, parameters) if at is None else connection.rows(_THEN, {**parameters, "at": at})
    # Looked for, because a union has no order of its own; but it is the first.
    clock = rows.pop(next(place for place, row in enumerate(rows) if row[0] is None))
    owned: dict[str, list[tuple[Any, ...]]] = {}
    for part in parts(rows):
        for row in part:
            of_device = owned.setdefault(row[0], [])
            if row[1] is not None:
                of_device.append(row)
    found: dict[str, list[Owner]] = {}
    # Device by device, because one sort of all rows would keep the interpreter from other threads until its end.
    for identifier, of_device in weighed(owned.items(), lambda item: len(item[1])):
        of_device.sort(key=itemgetter(5))  # by place: as above
        found[identifier] = [Owner._make(row[1:5]) for row in of_device]
    return Ownership(found, clock[3])
