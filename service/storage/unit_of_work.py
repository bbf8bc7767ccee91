"""What a use case may ask of the transaction it runs in. `storage` answers, on SQLite and on PostgreSQL."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from service.domain.cancellation import Cancellation
from service.domain.email import Email
from service.domain.values import (
    AssignedDevice,
    AssignmentChange,
    Customer,
    CustomerRecord,
    DeviceRecord,
    Ended,
    Operation,
    OperationFilter,
    OperationRecord,
    Ownership,
    Reply,
    Revertible,
    RevisionState,
)

T = TypeVar("T")


class Customers(Protocol):
    """The organisation's customers."""

    def lock(self, email: Email) -> Customer | None:
        """Finds a customer and holds their assignments still until the transaction ends."""

    def lock_all(self, emails: Sequence[Email]) -> dict[str, Customer]:
        """Locks several customers, in an order that all transactions keep. Gives those that there are, by key."""

    def create(self, emails: Sequence[Email]) -> tuple[dict[str, Customer], set[str]]:
        """Adds customers, named after the local part, where there is none of the address, and locks all of them.

        Returns:
            The customers of all the addresses, by key, and the keys of those that this transaction has added.

        Raises:
            Retry: an address has changed hands meanwhile; running again finds how it stands then.
        """

    def find(self, *, email: Email | None = None, customer_id: str | None = None) -> Customer | None:
        """Finds a customer by the one or the other, without holding anything."""

    def update(self, customer_id: str, email: Email, fields: Mapping[str, str]) -> bool:
        """Sets the address and the named fields. Tells whether it could: another customer may have the address."""

    def record(self, *, email: Email | None = None, customer_id: str = "") -> CustomerRecord | None:
        """Finds all that is kept of a customer."""

    def records(self, after: str, limit: int) -> list[CustomerRecord]:
        """Lists customers by id, from behind one."""


class Devices(Protocol):
    """The organisation's devices."""

    def record(self, identifier: str) -> DeviceRecord | None:
        """Finds all that is kept of a device."""

    def records(self, after: str, limit: int) -> list[DeviceRecord]:
        """Lists devices by identifier, from behind one."""

    def update(self, identifier: str, device_type: str, properties: str | None) -> None:
        """Sets the type, unless it is empty, and the properties, unless they are None."""

    def known(self, identifiers: Sequence[str]) -> dict[str, str]:
        """Tells which of the identifiers have a device, and its id."""

    def create(self, identifiers: Sequence[str], device_type: str) -> tuple[dict[str, str], set[str]]:
        """Adds devices of a type, where there is none of the identifier.

        Returns:
            The ids of all the devices, by identifier, and the identifiers of those that this transaction has added.

        Raises:
            Retry: a device that was there at the insert is gone; running again finds how it stands then.
        """


class Assignments(Protocol):
    """Who has what, and who had."""

    def end(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Ends the customer's assignments of these devices and logs it under the customer's next revision.

        Returns:
            Those that were assigned, in no particular order.
        """

    def begin(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Assigns devices, which must exist, to the customer and logs it under the customer's next revision.

        Returns:
            Those that the customer did not have yet, in no particular order.
        """

    def lock_and_unassign(self, email: Email, identifiers: Sequence[str], listed: int) -> Ended | None:
        """Does at once what `Customers.lock`, `end` and `current` do, where nothing has to be decided in between.

        Lists up to so many of the assignments left. None, if there is no such customer.
        """

    def share(self, customers: Sequence[Customer], identifier: str) -> set[str]:
        """Assigns a device, which must exist, to customers and logs it under each one's next revision.

        Returns:
            The ids of those who did not have it yet.
        """

    def sharing(self, customers: Sequence[Customer], identifier: str) -> set[str]:
        """Tells which of these customers have a device, by id."""

    def end_all(self, customer: Customer) -> int:
        """Ends all of the customer's assignments, as `end` does, however many. Gives their number."""

    def owners(self, identifiers: Sequence[str], at: datetime | None, limit: int) -> Ownership:
        """Finds who has the devices, or had at an instant: at most so many owners of each, the longest first.

        It does so with a single statement, the clock included.
        """

    def now(self) -> datetime:
        """Reads the database's clock, behind the moment that the transaction sees."""

    def which_are_assigned(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Tells which of these devices the customer has, in no particular order."""

    def current(self, customer: Customer, after: str, limit: int) -> list[str]:
        """Lists up to `limit` identifiers of the customer's devices that sort after `after`, in their order."""

    def assigned_at_revision(self, customer: Customer, revision: int, after: str, limit: int) -> list[AssignedDevice]:
        """Lists, in the same way, the devices that the customer had at a revision."""

    def state_at(self, customer: Customer, at: datetime) -> RevisionState:
        """Finds the customer's state at an instant."""

    def state_at_revision(self, customer: Customer, revision: int) -> RevisionState | None:
        """Finds the customer's state at a revision, or None if there was none such."""


class Operations(Protocol):
    """The record of every change."""

    def find(self, operation_id: str) -> OperationRecord | None:
        """Finds an operation."""

    def page(self, wanted: OperationFilter, before: tuple[datetime, str] | None, limit: int) -> list[OperationRecord]:
        """Lists operations, the newest first, from behind the one of a time and an id."""

    def changes(self, operation_id: str, after: tuple[str, str], limit: int) -> list[AssignmentChange]:
        """Lists what an operation did, by customer and device, from behind such a pair."""

    def prepare_revert(self, operation_id: str, shown: int) -> Revertible:
        """Locks the operation's customers and finds out which of its devices have not changed owners since.

        Those that have are given by identifier, with whether an earlier revert of the operation did it; only the first
        `shown` of them.
        """

    def apply_revert(self) -> tuple[dict[str, int], int, int]:
        """Does to the devices found the opposite of what the operation did, under each customer's next revision.

        Returns:
            By how much each customer's number of devices changed, how many assignments began, and how many ended.
        """

    def record(self, operation: Operation) -> None:
        """Has the transaction write an operation and give each of its customers the next revision.

        It does so as its last act, whatever else comes before: the time of the operation is read then, so that between
        it and the commit there is next to nothing, and a look at a past instant stays true.
        """


class OperationStream(Protocol):
    """The operations in the order in which streams tell them."""

    def last(self, organization_id: str) -> int:
        """Gives every operation that has none its place, and tells the last place. Raises as `Storage.write` does."""

    def advance(self, organization_id: str) -> tuple[int, bool]:
        """Does so for some of them: gives the last place there is then, and whether more operations wait."""

    def behind(
        self, organization_id: str, after: int, limit: int, customer_id: str | None = None
    ) -> list[OperationRecord]:
        """Reads operations behind a place, all or one customer's. Raises as `Storage.read` does."""


class Replies(Protocol):
    """The answers that retries get."""

    def find(self, request_id: str) -> Reply | None:
        """Finds what a request id was answered."""

    def keep(self, request_id: str, reply: Reply) -> None:
        """Keeps an answer with the transaction.

        Raises:
            Retry: another transaction has claimed the request id meanwhile; running again finds its answer.
        """


class UnitOfWork(Protocol):
    """One transaction, for one organisation: nothing in it can see or touch another's."""

    @property
    def customers(self) -> Customers:
        """The organisation's customers."""

    @property
    def devices(self) -> Devices:
        """The organisation's devices."""

    @property
    def assignments(self) -> Assignments:
        """The organisation's assignments."""

    @property
    def operations(self) -> Operations:
        """The organisation's operations."""

    @property
    def replies(self) -> Replies:
        """The organisation's replies."""


class Storage(Protocol):
    """Runs work in transactions."""

    def write(self, organization_id: str, cancellation: Cancellation, work: Callable[[UnitOfWork], T]) -> T:
        """Runs `work` and commits, or changes nothing at all. Work that lost against others is run again.

        Raises:
            Conflict: it kept losing.
            DatabaseUnavailable: the database cannot be reached.
            OutcomeUnknown: it may have been done; the database did not confirm the commit.
            Cancelled, DeadlineExceeded: the caller's patience ended first.
        """

    def read(
        self,
        organization_id: str,
        cancellation: Cancellation,
        work: Callable[[UnitOfWork], T],
        *,
        one_statement: bool = False,
    ) -> T:
        """Runs `work` without a lock on one unchanging view of the data. Raises as `write` does.

        Work that makes do with one statement can say so: a statement has one view by itself, and costs least alone.
        """
