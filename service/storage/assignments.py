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
from service.storage.numbers import CustomerNumbers
from service.storage.past_assignments import AT_REVISION, BEFORE_FIRST, STATE_AT, STATE_AT_REVISION, of_customer
from service.storage.replies import Retry
from service.storage.statement import Statement
from service.storage.tables import assignment, customer, organization
from service.storage.types import Instant, NumberArray, TextArray, among

_WHICH_ARE_ASSIGNED = Statement(
    select(assignment.c.device_identifier).where(
        of_customer(assignment),
        among(assignment.c.device_identifier, bindparam("identifiers", type_=TextArray)),
    )
)

_SHARING = Statement(
    select(assignment.c.customer_number).where(
        assignment.c.organization_number == bindparam("organization_number"),
        assignment.c.device_identifier == bindparam("identifier"),
        among(assignment.c.customer_number, bindparam("customer_numbers", type_=NumberArray)),
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
        assignment.c.organization_number == bindparam("organization_number"),
        assignment.c.customer_number
        == select(customer.c.number)
        .where(
            customer.c.organization_number == bindparam("organization_number"),
            customer.c.email_key == bindparam("email_key"),
        )
        .scalar_subquery(),
    )
    .order_by(assignment.c.device_identifier)
    .limit(bindparam("limit"))
)


# From a table: on SQLite the snapshot of a transaction is taken when the first table is read.
_CLOCK = Statement(
    select(func.clock_timestamp(type_=Instant)).where(organization.c.number == bindparam("organization_number"))
)


class Assignments:
    """See `unit_of_work.Assignments`."""

    def __init__(self, connection: Connection, numbers: CustomerNumbers, backend: Backend) -> None:
        self._connection = connection
        self._numbers = numbers
        self._backend = backend

    def end(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Ends the customer's assignments of these devices, under the customer's next revision."""
        return self._backend.end_assignments(self._connection, self._change(customer, identifiers))

    def lock_and_unassign(self, email: Email, identifiers: Sequence[str], listed: int) -> Ended | None:
        """Locks the customer of an address, ends assignments and lists the remaining ones, in one round trip."""
        parameters = {
            "organization_number": self._numbers.organization,
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
        number, customer_id, *rest = locked[0]
        self._numbers.add(customer_id, number)
        return Ended(Customer(customer_id, *rest), [row[0] for row in ended], [row[0] for row in left])

    def begin(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Assigns devices to the customer, under the customer's next revision."""
        return self._backend.begin_assignments(self._connection, self._change(customer, identifiers))

    def share(self, customers: Sequence[Customer], identifier: str) -> set[str]:
        """Assigns a device to customers, under each one's next revision."""
        numbers = self._numbers.of_all(customer.id for customer in customers)
        revisions = {number: customer.revision + 1 for number, customer in zip(numbers, customers, strict=True)}
        begun = set(self._backend.share_device(self._connection, self._numbers.organization, identifier, revisions))
        return {customer.id for number, customer in zip(numbers, customers, strict=True) if number in begun}

    def sharing(self, customers: Sequence[Customer], identifier: str) -> set[str]:
        """Returns which of these customers have a device."""
        numbers = self._numbers.of_all(customer.id for customer in customers)
        parameters = {
            "organization_number": self._numbers.organization,
            "identifier": identifier,
            "customer_numbers": numbers,
        }
        sharing = {row[0] for row in self._connection.rows(_SHARING, parameters)}
        return {customer.id for number, customer in zip(numbers, customers, strict=True) if number in sharing}

    def end_all(self, customer: Customer) -> int:
        """Ends all of the customer's assignments in the same way."""
        return self._backend.end_all_assignments(
            self._connection, self._numbers.organization, self._numbers.of(customer.id), customer.revision + 1
        )

    def now(self) -> datetime:
        """Reads the database's clock."""
        ((now,),) = self._connection.rows(_CLOCK, {"organization_number": self._numbers.organization})
        read: datetime = now
        return read

    def owners(self, identifiers: Sequence[str], at: datetime | None, limit: int) -> Ownership:
        """Finds the owners of devices, now or at an instant."""
        return owners.owners(self._connection, self._numbers.organization, identifiers, at, limit)

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
        who = {
            "organization_number": self._numbers.organization,
            "customer_number": self._numbers.of(customer.id),
        }
        return self._connection.rows(statement, {**who, **parameters})

    def _change(self, customer: Customer, identifiers: Sequence[str]) -> ChangeSet:
        number = self._numbers.of(customer.id)
        return ChangeSet(self._numbers.organization, number, customer.revision + 1, identifiers)
