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
    literal,
    null,
    select,
    union_all,
)

from service.domain.values import Owner, Ownership
from service.runtime.chunks import chunks, weighed
from service.storage.connection import Connection
from service.storage.statement import Statement
from service.storage.tables import assignment, customer, customer_revision, device, past_assignment, stream
from service.storage.types import Instant, TextArray, among

_KEPT = "kept since"
_WANTED = bindparam("identifiers", type_=TextArray)
_ORGANIZATION: BindParameter[int] = bindparam("organization_number")
_AT = bindparam("at", type_=Instant)


def _time_of(of: FromClause, revision: Any) -> Any:
    """The time of a customer's revision, in a subquery by its key.

    Not a join: for a join the planner expects hundreds of rows and reads all revisions of an organisation.
    """
    return (
        select(customer_revision.c.occurred_at)
        .where(
            customer_revision.c.organization_number == _ORGANIZATION,
            customer_revision.c.customer_number == of.c.customer_number,
            customer_revision.c.revision == revision,
        )
        .scalar_subquery()
    )


_now = select(assignment.c.device_identifier, assignment.c.customer_number, assignment.c.assigned_revision).where(
    assignment.c.organization_number == _ORGANIZATION, among(assignment.c.device_identifier, _WANTED)
)
_ended_later = select(
    past_assignment.c.device_identifier, past_assignment.c.customer_number, past_assignment.c.assigned_revision
).where(
    past_assignment.c.organization_number == _ORGANIZATION,
    among(past_assignment.c.device_identifier, _WANTED),
    _time_of(past_assignment, past_assignment.c.unassigned_revision) > _AT,
)


def _owners(held: FromClause, *conditions: Callable[[Any], Any], past: bool = False) -> CompoundSelect[Any]:
    # MATERIALIZED: otherwise PostgreSQL runs the subquery again for each use of the time.
    dated = (
        select(
            held.c.device_identifier, held.c.customer_number, _time_of(held, held.c.assigned_revision).label("since")
        )
        .cte("dated")
        .prefix_with("MATERIALIZED")
    )
    ranked = (
        select(
            dated,
            func.count().over(partition_by=dated.c.device_identifier).label("owner_count"),
            func.row_number()
            .over(partition_by=dated.c.device_identifier, order_by=(dated.c.since, dated.c.customer_number))
            .label("place"),
        )
        .where(*(condition(dated.c.since) for condition in conditions))
        .subquery()
    )
    # Subqueries, not a join: for a join PostgreSQL reads all customers of the organisation.
    id_, email = (
        select(column)
        .where(customer.c.organization_number == _ORGANIZATION, customer.c.number == ranked.c.customer_number)
        .scalar_subquery()
        for column in (customer.c.id, customer.c.email)
    )
    columns = (
        id_.label("customer_id"),
        email.label("email"),
        ranked.c.since,
        ranked.c.owner_count,
        ranked.c.place,
    )
    owned = select(ranked.c.device_identifier, *columns).where(ranked.c.place <= bindparam("limit"))
    # The devices that exist, in the same statement, so that all rows are of the same state. Not a join: the planner
    # does not know the length of the list and would choose a nested loop.
    nulls = [null().label(column.name) for column in columns]
    existing = select(device.c.identifier, *nulls).where(
        device.c.organization_number == _ORGANIZATION, among(device.c.identifier, _WANTED)
    )
    # The clock, as the first part of the union, which is read first: right after the statement's snapshot is taken.
    none = null().label
    clock = select(
        none("device_identifier"),
        none("customer_id"),
        none("email"),
        func.clock_timestamp(type_=Instant).label("since"),
        none("owner_count"),
        none("place"),
    )
    if not past:
        return union_all(clock, owned, existing)
    # In the same statement, so that what is not kept any more is never missing unnoticed.
    kept = select(
        none("device_identifier"),
        literal(_KEPT).label("customer_id"),
        none("email"),
        stream.c.pruned_before.label("since"),
        none("owner_count"),
        none("place"),
    ).where(stream.c.organization_number == _ORGANIZATION)
    return union_all(clock, owned, existing, kept)


_PLACE = itemgetter(5)  # a union guarantees no order
# A thousand devices with an owner or two each: twice as quick at once as in chunks.
_FEW_ROWS = 2_500

_NOW = Statement(_owners(_now.subquery()))
# Half-open: an assignment includes the instant at which it began, and not the one at which it ended.
_THEN = Statement(_owners(union_all(_now, _ended_later).subquery(), lambda since: since <= _AT, past=True))


def owners(
    connection: Connection, organization_number: int, identifiers: Sequence[str], at: datetime | None, limit: int
) -> Ownership:
    """Finds at most `limit` owners of each device, the longest first, with a single statement.

    Returns:
        The owners by device, without devices that do not exist, and the time of the statement.
    """
    parameters: dict[str, Any] = {
        "organization_number": organization_number,
        "identifiers": list(identifiers),
        "limit": limit,
    }
    rows = connection.rows(_NOW, parameters) if at is None else connection.rows(_THEN, {**parameters, "at": at})
    now = _taken(rows, None)
    kept_since = None if at is None else _taken(rows, _KEPT)
    found = _by_device(rows) if len(rows) <= _FEW_ROWS else _by_device_in_chunks(rows)
    return Ownership(found, now, kept_since)


def _taken(rows: list[tuple[Any, ...]], name: str | None) -> Any:
    """Removes a row of no device and returns its time. A union guarantees no order."""
    place = next((place for place, row in enumerate(rows) if row[0] is None and row[1] == name), None)
    return None if place is None else rows.pop(place)[3]


def _by_device(rows: list[tuple[Any, ...]]) -> dict[str, list[Owner]]:
    found: dict[str, list[Owner]] = {row[0]: [] for row in rows if row[1] is None}
    owned = [row for row in rows if row[1] is not None]
    owned.sort(key=_PLACE)
    for row in owned:
        found[row[0]].append(Owner._make(row[1:5]))
    return found


def _by_device_in_chunks(rows: list[tuple[Any, ...]]) -> dict[str, list[Owner]]:
    """Does the same for many rows, device by device: one sort of all would hold the interpreter lock too long."""
    owned: dict[str, list[tuple[Any, ...]]] = {}
    for chunk in chunks(rows):
        for row in chunk:
            of_device = owned.setdefault(row[0], [])
            if row[1] is not None:
                of_device.append(row)
    found: dict[str, list[Owner]] = {}
    for identifier, of_device in weighed(owned.items(), lambda item: len(item[1])):
        of_device.sort(key=_PLACE)
        found[identifier] = [Owner._make(row[1:5]) for row in of_device]
    return found
