"""Assignments in SQL: how they begin and end, and how they are listed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select

from service.domain.email import Email
from service.domain.values import AssignedDevice, Customer, Ended, Ownership, RevisionState
from service.storage import owners
from service.storage.backend import Backend, ChangeSet
from service.storage.connection import Connection
from service.storage.customers import LOCK
from service.storage.past_assignments import AT_REVISION, BEFORE_FIRST, STATE_AT, STATE_AT_REVISION, of_customer
from service.storage.replies import Retry
from service.storage.statement import Statement
from service.storage.tables import assignment, customer, organization
from service.storage.types import Instant, TextArray, among

_WHICH_ARE_ASSIGNED = Statement(
    select(assignment.c.device_identifier).where(
        of_customer(assignment),
        among(assignment.c.device_identifier, bindparam("identifiers", type_=TextArray)),
    )
)

_SHARING = Statement(
    select(assignment.c.customer_id).where(
        assignment.c.organization_id == bindparam("organization_id"),
        assignment.c.device_identifier == bindparam("identifier"),
        among(assignment.c.customer_id, bindparam("customer_ids", type_=TextArray)),
    )
)

_CURRENT = Statement(
    select(assignment.c.device_identifier)
    .where(of_customer(assignment), assignment.c.device_identifier > bindparam("after"))
    .order_by(assignment.c.device_identifier)
    .limit(bindparam("limit"))
)


_CURRENT_OF = Statement(
    select(assignment.c.device_identifier)
    .where(
        assignment.c.organization_id == bindparam("organization_id"),
        assignment.c.customer_id
        == select(customer.c.id)
        .where(
            customer.c.organization_id == bindparam("organization_id"), customer.c.email_key == bindparam("email_key")
        )
        .scalar_subquery(),
    )
    .order_by(assignment.c.device_identifier)
    .limit(bindparam("limit"))
)


# From a table: on SQLite the snapshot of a transaction is taken when the first table is read.
_CLOCK = Statement(select(func.clock_timestamp(type_=Instant)).where(organization.c.id == bindparam("organization_id")))


class Assignments:
    """See `unit_of_work.Assignments`."""

    def __init__(self, connection: Connection, organization_id: str, backend: Backend) -> None:
        self._connection = connection
        self._organization_id = organization_id
        self._backend = backend

    def end(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Ends the customer's assignments of these devices and logs it under the customer's next revision."""
        change = ChangeSet(self._organization_id, customer.id, customer.revision + 1, identifiers)
        return self._backend.end_assignments(self._connection, change)

    def lock_and_unassign(self, email: Email, identifiers: Sequence[str], listed: int) -> Ended | None:
        """Locks the customer of an address, ends assignments and lists the remaining ones, in one round trip."""
        parameters = {
            "organization_id": self._organization_id,
            "email_key": email.key,
            "identifiers": list(identifiers),
            "limit": listed,
        }
        locked, *_, ended, left = self._connection.batch(
            (LOCK, *self._backend.lock_and_unassign, _CURRENT_OF), parameters
        )
        if not locked:
            if ended:  # another transaction has added the customer between the statements, so there is no lock
                raise Retry
            return None
        return Ended(Customer(*locked[0]), [row[0] for row in ended], [row[0] for row in left])

    def begin(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Assigns devices to the customer and logs it under the customer's next revision."""
        change = ChangeSet(self._organization_id, customer.id, customer.revision + 1, identifiers)
        return self._backend.begin_assignments(self._connection, change)

    def share(self, customers: Sequence[Customer], identifier: str) -> set[str]:
        """Assigns a device to customers and logs it under each one's next revision."""
        revisions = {customer.id: customer.revision + 1 for customer in customers}
        return set(self._backend.share_device(self._connection, self._organization_id, identifier, revisions))

    def sharing(self, customers: Sequence[Customer], identifier: str) -> set[str]:
        """Returns which of these customers have a device."""
        parameters = {
            "organization_id": self._organization_id,
            "identifier": identifier,
            "customer_ids": [customer.id for customer in customers],
        }
        return {row[0] for row in self._connection.rows(_SHARING, parameters)}

    def end_all(self, customer: Customer) -> int:
        """Ends all of the customer's assignments and logs it in the same way."""
        next_revision = customer.revision + 1
        return self._backend.end_all_assignments(self._connection, self._organization_id, customer.id, next_revision)

    def now(self) -> datetime:
        """Reads the database's clock."""
        ((now,),) = self._connection.rows(_CLOCK, {"organization_id": self._organization_id})
        read: datetime = now
        return read

    def owners(self, identifiers: Sequence[str], at: datetime | None, limit: int) -> Ownership:
        """Finds the owners of devices, now or at an instant."""
        return owners.owners(self._connection, self._organization_id, identifiers, at, limit)

    def which_are_assigned(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Returns which of these devices the customer has, in no particular order."""
        return [row[0] for row in self._rows(_WHICH_ARE_ASSIGNED, customer, identifiers=list(identifiers))]

    def current(self, customer: Customer, after: str, limit: int) -> list[str]:
        """Lists identifiers of the customer's devices in their order."""
        return [row[0] for row in self._rows(_CURRENT, customer, after=after, limit=limit)]

    def assigned_at_revision(self, customer: Customer, revision: int, after: str, limit: int) -> list[AssignedDevice]:
        """Lists the devices that the customer had at a revision, in the order of their identifiers."""
        rows = self._rows(AT_REVISION, customer, revision=revision, after=after, limit=limit)
        return [AssignedDevice(*row) for row in rows]

    def state_at(self, customer: Customer, at: datetime) -> RevisionState:
        """Finds the customer's state at an instant."""
        rows = self._rows(STATE_AT, customer, at=at)
        return RevisionState(*rows[0]) if rows else BEFORE_FIRST

    def state_at_revision(self, customer: Customer, revision: int) -> RevisionState | None:
        """Finds the customer's state at a revision, or None if there was no such revision."""
        if revision == 0:
            return BEFORE_FIRST
        rows = self._rows(STATE_AT_REVISION, customer, revision=revision)
        return RevisionState(*rows[0]) if rows else None

    def _rows(self, statement: Statement, customer: Customer, **parameters: Any) -> list[tuple[Any, ...]]:
        who = {"organization_id": self._organization_id, "customer_id": customer.id}
        return self._connection.rows(statement, {**who, **parameters})
