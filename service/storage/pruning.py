"""Removes old history: assignments that ended, revisions and operations before a time.

The time is committed before anything is deleted, so that a question about an earlier time is refused from then on and
never answered with what is left. What the present and the kept history need stays: of each customer the last revision
before the time, and the revisions with which kept assignments began.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    func,
    literal,
    select,
    text,
    tuple_,
)

from service.storage.database import Database
from service.storage.stream import LOCK, Stream
from service.storage.tables import assignment, customer_revision, operation, organization, past_assignment, stream
from service.storage.types import Instant

_BATCH = 5_000

_BEFORE = bindparam("before", type_=Instant)
_NUMBER: Any = bindparam("organization_number")

_MARK = text("""
UPDATE stream SET pruned_position = :position, pruned_before = :before
WHERE organization_number = :organization_number
""").bindparams(_BEFORE)

_LAST_PRUNED = select(func.max(operation.c.position)).where(
    operation.c.organization_number == _NUMBER, operation.c.occurred_at < _BEFORE
)

_OLD_OPERATIONS = (
    select(operation.c.organization_number, operation.c.id)
    .where(
        operation.c.organization_number == _NUMBER,
        operation.c.occurred_at < _BEFORE,
        operation.c.position <= bindparam("position"),
    )
    .order_by(operation.c.occurred_at)
)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, and the time before which nothing is kept."""

    before: datetime
    assignments: int
    operations: int


def prune(database: Database, older_than: timedelta) -> Pruned:
    """Removes the history of all organisations that is older than that, in small transactions.

    If it is stopped, it goes on when it is run again.

    Raises:
        Conflict, DatabaseUnavailable, Overloaded, OutcomeUnknown: as `Database.session` does.
    """
    with database.session(write=False) as connection:
        organizations = connection.execute(select(organization.c.number, organization.c.id)).all()
        now = connection.execute(select(func.clock_timestamp(type_=Instant))).scalar_one()
    before = now - older_than
    assignments = operations = 0
    for number, organization_id in organizations:
        Stream(database).last(organization_id)  # operations without a position are not pruned
        which = _mark(database, number, before)
        assignments += _delete(database, past_assignment, _old_assignments, which)
        _delete(database, customer_revision, _old_revisions, which)
        operations += _delete(database, operation, lambda _after: _OLD_OPERATIONS, which)
    return Pruned(before, assignments, operations)


def _mark(database: Database, number: int, before: datetime) -> dict[str, Any]:
    """Commits the time and the position before which an organisation's history is not kept.

    An earlier time never replaces a later one. Returns the parameters of the statements that delete.
    """
    which = {"organization_number": number, "before": before}
    marked = select(stream.c.pruned_before, stream.c.pruned_position).where(stream.c.organization_number == _NUMBER)
    with database.session() as connection:
        connection.execute(LOCK, which).close()  # another process may prune too
        kept_since, pruned_position = connection.execute(marked, which).one()
        if kept_since is not None and kept_since >= before:
            return {**which, "before": kept_since, "position": pruned_position}
        position = max(connection.execute(_LAST_PRUNED, which).scalar_one() or 0, pruned_position)
        connection.execute(_MARK, {**which, "position": position})
    return {**which, "position": position}


def _delete(database: Database, table: Table, find: Any, which: dict[str, Any]) -> int:
    """Deletes rows by their primary keys, batch after batch. The keys are read before, without a lock."""
    key = list(table.primary_key.columns)
    by_key = delete(table).where(and_(*(column == bindparam(f"key_{place}") for place, column in enumerate(key))))
    deleted = 0
    after: Sequence[Any] | None = None
    while True:
        with database.session(write=False) as connection:
            rows = connection.execute(find(after).limit(_BATCH), which).all()
        if rows:
            after = rows[-1]
            with database.session() as connection:
                keys = [{f"key_{place}": value for place, value in enumerate(row)} for row in rows]
                deleted += connection.execute(by_key, keys).rowcount
        if len(rows) < _BATCH:
            return deleted


def _old_assignments(after: Sequence[Any] | None) -> Select[Any]:
    """Selects the keys of past assignments that ended before the time, in their order."""
    past = past_assignment.c
    ended_at = _time_of(past.customer_number, past.unassigned_revision)
    key = (past.organization_number, past.customer_number, past.unassigned_revision, past.device_identifier)
    return (
        select(*key).where(past.organization_number == _NUMBER, _behind(key, after), ended_at < _BEFORE).order_by(*key)
    )


def _old_revisions(after: Sequence[Any] | None) -> Select[Any]:
    """Selects the keys of revisions before the time that neither the present nor the kept history needs."""
    own, later = customer_revision.c, customer_revision.alias("later")
    key = (own.organization_number, own.customer_number, own.revision)
    # Subqueries with a limit: PostgreSQL would read whole tables for EXISTS, in each batch.
    following = (
        select(later.c.occurred_at)
        .where(
            later.c.organization_number == _NUMBER,
            later.c.customer_number == own.customer_number,
            later.c.revision > own.revision,
        )
        .order_by(later.c.revision)
        .limit(1)
        .scalar_subquery()
    )
    begun = [
        select(table.c.assigned_revision)
        .where(
            table.c.organization_number == _NUMBER,
            table.c.customer_number == own.customer_number,
            table.c.assigned_revision == own.revision,
        )
        .limit(1)
        .scalar_subquery()
        for table in (assignment, past_assignment)
    ]
    return (
        select(*key)
        .where(
            own.organization_number == _NUMBER,
            _behind(key, after),
            own.occurred_at < _BEFORE,
            following < _BEFORE,
            *(kept.is_(None) for kept in begun),
        )
        .order_by(*key)
    )


def _time_of(number: ColumnElement[int], revision: ColumnElement[int]) -> Any:
    return (
        select(customer_revision.c.occurred_at)
        .where(
            customer_revision.c.organization_number == _NUMBER,
            customer_revision.c.customer_number == number,
            customer_revision.c.revision == revision,
        )
        .scalar_subquery()
    )


def _behind(key: Sequence[ColumnElement[Any]], after: Sequence[Any] | None) -> Any:
    """Restricts a statement to the rows behind a key, whose first column is the organisation's number."""
    if after is None:
        return literal(1) == 1
    return tuple_(*key[1:]) > tuple_(
        *(literal(value, column.type) for column, value in zip(key[1:], after[1:], strict=True))
    )
