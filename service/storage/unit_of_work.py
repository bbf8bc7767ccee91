"""What a use case may ask of its transaction. The other modules of `storage` implement it."""

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
        """Finds a customer and locks the customer's assignments until the transaction ends."""

    def lock_all(self, emails: Sequence[Email]) -> dict[str, Customer]:
        """Locks several customers, in the same order in all transactions. Returns those that exist, by key."""

    def create(self, emails: Sequence[Email]) -> tuple[dict[str, Customer], set[str]]:
        """Adds a customer, named by the local part, for each address that has none, and locks the customers of all.

        Returns:
            The customers of all addresses, by key, and the keys of those that this transaction has added.

        Raises:
            Retry: an address belongs to another customer by now; run again, the transaction reads the new state.
        """

    def find(self, *, email: Email | None = None, customer_id: str | None = None) -> Customer | None:
        """Finds a customer by address or id, without a lock."""

    def update(self, customer_id: str, email: Email, fields: Mapping[str, str]) -> bool:
        """Sets the address and the named fields. Returns False if another customer has the address."""

    def find_record(self, *, email: Email | None = None, customer_id: str = "") -> CustomerRecord | None:
        """Finds everything that is stored of a customer."""

    def list_records(self, after: str, limit: int) -> list[CustomerRecord]:
        """Lists customers in the order of their ids, after a given id."""


class Devices(Protocol):
    """The organisation's devices."""

    def find_record(self, identifier: str) -> DeviceRecord | None:
        """Finds everything that is stored of a device."""

    def list_records(self, after: str, limit: int) -> list[DeviceRecord]:
        """Lists devices in the order of their identifiers, after a given one."""

    def update(self, identifier: str, device_type: str, properties: str | None) -> None:
        """Sets the type, unless it is empty, and the properties, unless they are None."""

    def known(self, identifiers: Sequence[str]) -> dict[str, str]:
        """Returns the ids of the devices that exist, by identifier."""

    def create(self, identifiers: Sequence[str], device_type: str) -> tuple[dict[str, str], set[str]]:
        """Adds a device of a type for each identifier that has none.

        Returns:
            The ids of all the devices, by identifier, and the identifiers of those that this transaction has added.

        Raises:
            Retry: a device that existed at the insert is gone; run again, the transaction reads the new state.
        """


class Assignments(Protocol):
    """The organisation's assignments, present and past."""

    def end(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Ends the customer's assignments of these devices, under the customer's next revision.

        Returns:
            Those that were assigned, in no particular order.
        """

    def begin(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Assigns devices, which must exist, to the customer, under the customer's next revision.

        Returns:
            Those that the customer did not have yet, in no particular order.
        """

    def lock_and_unassign(self, email: Email, identifiers: Sequence[str], listed: int) -> Ended | None:
        """Does what `Customers.lock`, `end` and `current` do, where no decision lies between them.

        Returns:
            What has ended, with up to `listed` of the remaining devices; None if there is no such customer.
        """

    def share(self, customers: Sequence[Customer], identifier: str) -> set[str]:
        """Assigns a device, which must exist, to customers, under each one's next revision.

        Returns:
            The ids of the customers who did not have it.
        """

    def sharing(self, customers: Sequence[Customer], identifier: str) -> set[str]:
        """Returns the ids of those of these customers who have a device."""

    def end_all(self, customer: Customer) -> int:
        """Ends all of the customer's assignments, as `end` does. Returns their number."""

    def owners(self, identifiers: Sequence[str], at: datetime | None, limit: int) -> Ownership:
        """Finds at most `limit` owners of each device, now or at an instant, the longest first.

        A single statement reads them and the clock.
        """

    def now(self) -> datetime:
        """Reads the database's clock, which is not before the state that the transaction reads."""

    def which_are_assigned(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Returns which of these devices the customer has, in no particular order."""

    def current(self, customer: Customer, after: str, limit: int) -> list[str]:
        """Lists up to `limit` identifiers of the customer's devices that sort after `after`, in their order."""

    def assigned_at_revision(self, customer: Customer, revision: int, after: str, limit: int) -> list[AssignedDevice]:
        """Lists, in the same way, the devices that the customer had at a revision."""

    def state_at(self, customer: Customer, at: datetime) -> RevisionState:
        """Finds the customer's state at an instant."""

    def state_at_revision(self, customer: Customer, revision: int) -> RevisionState | None:
        """Finds the customer's state at a revision, or None if there was no such revision."""


class Operations(Protocol):
    """The record of every change."""

    def find(self, operation_id: str) -> OperationRecord | None:
        """Finds an operation."""

    def kept_since(self) -> datetime | None:
        """Returns the time from which on the history is kept; None if all of it is."""

    def page(self, wanted: OperationFilter, before: tuple[datetime, str] | None, limit: int) -> list[OperationRecord]:
        """Lists operations, the newest first, after the one of a given time and id."""

    def changes(self, operation_id: str, after: tuple[str, str], limit: int) -> list[AssignmentChange]:
        """Lists what an operation did, customer by customer in the order of devices, after a given pair."""

    def prepare_revert(self, operation_id: str, shown: int) -> Revertible:
        """Locks the operation's customers and finds its devices whose owners have not changed since.

        Of the other devices the first `shown` are returned by identifier, with whether an earlier revert of the
        operation has changed them.
        """

    def apply_revert(self) -> tuple[dict[str, int], int, int]:
        """Does the opposite of the operation to these devices, under each customer's next revision.

        Returns:
            By how much each customer's number of devices changed, how many assignments began, and how many ended.
        """

    def record(self, operation: Operation) -> None:
        """Sets the operation of the transaction, which also moves each of its customers to the next revision.

        It is written as the last step of the transaction. The time of the operation is read then, so that the commit
        follows at once and an answer about a past instant stays true.
        """


class OperationStream(Protocol):
    """The operations in the order of the stream."""

    def last(self, organization_id: str) -> int:
        """Assigns positions to all operations that have none. Returns the last position. Raises as `Storage.write`."""

    def advance(self, organization_id: str) -> tuple[int, bool]:
        """Assigns positions to some of them. Returns the last position, and whether more may have none."""

    def behind(
        self, organization_id: str, after: int, limit: int, customer_id: str | None = None
    ) -> list[OperationRecord]:
        """Reads the operations after a position, all or those of one customer.

        Raises as `Storage.read`, and `HistoryPruned`: some of them are not kept any more.
        """


class Replies(Protocol):
    """The stored answers, which retries get."""

    def find(self, request_id: str) -> Reply | None:
        """Finds the answer of a request id."""

    def keep(self, request_id: str, reply: Reply) -> None:
        """Stores an answer in the transaction.

        Raises:
            Retry: another transaction has stored one for the request id; run again, this one finds it.
        """


class UnitOfWork(Protocol):
    """One transaction of one organisation. It reads and writes no data of another."""

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
        """Runs `work` and commits, or changes nothing. After a conflict with another transaction `work` is run again.

        Raises:
            Conflict: every attempt ended in a conflict.
            DatabaseUnavailable: the database cannot be reached.
            OutcomeUnknown: the database did not confirm the commit, which may have taken effect.
            Cancelled, DeadlineExceeded: the call ended first.
        """

    def read(
        self,
        organization_id: str,
        cancellation: Cancellation,
        work: Callable[[UnitOfWork], T],
        *,
        one_statement: bool = False,
    ) -> T:
        """Runs `work` without locks on a snapshot of the data. Raises as `write` does.

        With `one_statement`, `work` runs a single statement, which reads a snapshot by itself and needs no transaction.
        """
