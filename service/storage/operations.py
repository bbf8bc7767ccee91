"""Operations in SQL: how they are recorded, found and reverted."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, bindparam, func, literal, select, tuple_

from service.domain.cancellation import Cancellation
from service.domain.errors import Conflict
from service.domain.values import AssignmentChange, Change, Operation, OperationFilter, OperationRecord, Revertible
from service.storage import reverts
from service.storage.backend import Backend
from service.storage.connection import Connection
from service.storage.numbers import CustomerNumbers
from service.storage.operation_records import RECORDED, matching, recorded
from service.storage.statement import Statement
from service.storage.tables import operation, stream
from service.storage.types import Instant, Ordered

# Writing so many customers takes less than a tenth of a second, so their operation gets the present time.
_AT_ONCE = 1_000
# An operation of more customers gets a time this far ahead for each of them; an idle machine needs less.
_LEAD = timedelta(microseconds=50)
# How long after an operation's time its commit may begin.
_LATE = timedelta(seconds=0.5)
_TRIES = 5

_TIMES = Statement(
    select(operation.c.occurred_at, func.clock_timestamp(type_=Instant)).where(
        operation.c.organization_number == bindparam("organization_number"), operation.c.id == bindparam("operation_id")
    )
)
_KEPT_SINCE = Statement(
    select(stream.c.pruned_before).where(stream.c.organization_number == bindparam("organization_number"))
)
_BY_ID = RECORDED.where(operation.c.id == bindparam("operation_id"))


class Operations:
    """See `unit_of_work.Operations`."""

    def __init__(self, connection: Connection, numbers: CustomerNumbers, backend: Backend) -> None:
        self._connection = connection
        self._numbers = numbers
        self._backend = backend
        self._noted: Operation | None = None

    def record(self, done: Operation) -> None:
        """Keeps an operation, which `finish` writes."""
        self._noted = done

    @property
    def recorded(self) -> Operation | None:
        """The operation of the transaction."""
        return self._noted

    def finish(self, cancellation: Cancellation) -> None:
        """Writes the operation, as the last step of the transaction, and moves its customers to their next revisions.

        Raises:
            Conflict: the database took longer than the time that was set ahead for the operation.
            Cancelled, DeadlineExceeded: the call ended first.
        """
        if self._noted is None:
            return
        done = self._noted
        values = {
            "organization_number": self._numbers.organization,
            "id": done.id,
            "kind": done.kind,
            "key_id": done.key_id,
            "note": done.note,
            "assigned_count": done.assigned_count,
            "unassigned_count": done.unassigned_count,
            "reverts_operation_id": done.reverts_operation_id,
        }
        deltas = dict(zip(self._numbers.of_all(done.deltas), done.deltas.values(), strict=True))
        if len(deltas) > _AT_ONCE:
            self._record_ahead(values, deltas, cancellation)
        else:
            self._backend.record_operation(self._connection, values, deltas, lead=timedelta(0))

    def _record_ahead(self, values: Mapping[str, Any], deltas: Mapping[int, int], cancellation: Cancellation) -> None:
        """Writes an operation that takes long to write with a time in the future, and waits for that time.

        If the time has passed by then, the operation is written again with a later one. So no operation is committed
        long after its time, and an answer about a time one second ago stays true.
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
        """Returns how long it is until an operation's time, by the database's clock."""
        who = {"organization_number": recorded["organization_number"], "operation_id": recorded["id"]}
        ((occurred_at, now),) = self._connection.rows(_TIMES, who)
        until: timedelta = occurred_at - now
        return until

    def find(self, operation_id: str) -> OperationRecord | None:
        """Finds an operation. PostgreSQL refuses NUL characters, and no id has one."""
        if "\0" in operation_id:
            return None
        return next(iter(self._recorded(_BY_ID, operation_id=operation_id)), None)

    def kept_since(self) -> datetime | None:
        """Returns the time from which on the history is kept; None if all of it is."""
        rows = self._connection.rows(_KEPT_SINCE, {"organization_number": self._numbers.organization})
        return rows[0][0] if rows else None

    def page(self, wanted: OperationFilter, before: tuple[datetime, str] | None, limit: int) -> list[OperationRecord]:
        """Lists operations, the newest first, after the one of a given time and id."""
        if wanted.key_id is not None and "\0" in wanted.key_id:
            return []
        statement, id_, occurred_at, newest_first = matching(wanted)
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
        """Lists what an operation did, customer by customer in the order of devices, after a given pair."""
        parameters = {
            "organization_number": self._numbers.organization,
            "operation_id": operation_id,
            "after_customer": self._numbers.of(after[0]) if after[0] else 0,
            "after_device": after[1],
            "limit": limit,
        }
        rows = self._backend.operation_changes(self._connection, parameters)
        return [AssignmentChange(row[0], row[1], Change(row[2])) for row in rows]

    def prepare_revert(self, operation_id: str, shown: int) -> Revertible:
        """Locks the operation's customers and finds its devices whose owners have not changed since."""
        return reverts.prepare(self._connection.core, self._backend, self._numbers.organization, operation_id, shown)

    def apply_revert(self) -> tuple[dict[str, int], int, int]:
        """Does the opposite of the operation to these devices."""
        return reverts.apply(self._connection.core, self._backend, self._numbers)

    def _recorded(self, statement: Select[Any], **parameters: Any) -> list[OperationRecord]:
        return recorded(self._connection.core, self._numbers.organization, statement, parameters)
