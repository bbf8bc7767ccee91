"""What a use case may ask of the transaction it runs in. `storage` answers, on SQLite and on PostgreSQL."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Protocol, TypeVar

from service.domain.email import Email
from service.domain.interruption import Interruption

T = TypeVar("T")


class Change(IntEnum):
    """What happened to one assignment in an operation."""

    ASSIGNED = 1
    UNASSIGNED = 2


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as the transaction sees it.

    Attributes:
        revision: counts the operations that changed the customer's assignments, from 0.
        device_count: how many devices the customer has.
    """

    id: str
    email: str
    revision: int
    device_count: int


@dataclass(frozen=True, slots=True)
class AssignedDevice:
    """A device of a customer, and since when."""

    identifier: str
    device_id: str
    assigned_at: datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """A customer's state after one operation: the revision it made and the number of devices it left."""

    revision: int
    device_count: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One committed change of assignments: who, why and what. When is told by the database, at the commit.

    Attributes:
        key_id: the API key that asked for it; None for `import`.
        deltas: by how much the number of devices of each customer changed. Names every customer whose assignments
            changed, and no other.
    """

    id: str
    kind: str
    key_id: str | None
    note: str
    deltas: Mapping[str, int]
    assigned_count: int = 0
    unassigned_count: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer that a request id got, and a fingerprint of what was asked."""

    fingerprint: bytes
    answer: bytes


class Customers(Protocol):
    """The organisation's customers."""

    def lock(self, email: Email) -> Customer | None:
        """Finds a customer and holds their assignments still until the transaction ends."""

    def find(self, *, email: Email | None = None, customer_id: str | None = None) -> Customer | None:
        """Finds a customer by the one or the other, without holding anything."""


class Devices(Protocol):
    """The organisation's devices."""

    def known(self, identifiers: Sequence[str]) -> set[str]:
        """Tells which of the identifiers have a device."""


class Assignments(Protocol):
    """Who has what, and who had."""

    def end(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Ends the customer's assignments of these devices and logs it under the customer's next revision.

        Returns:
            Those that were assigned, in no particular order.
        """

    def among(self, customer: Customer, identifiers: Sequence[str]) -> list[str]:
        """Tells which of these devices the customer has, in no particular order."""

    def current(self, customer: Customer, after: str, limit: int) -> list[str]:
        """Lists up to `limit` identifiers of the customer's devices that sort after `after`, in their order."""

    def at(self, customer: Customer, revision: int, after: str, limit: int) -> list[AssignedDevice]:
        """Lists, in the same way, the devices that the customer had at a revision."""

    def moment(self, customer: Customer, at: datetime) -> Moment:
        """Finds the customer's state at an instant."""

    def moment_of(self, customer: Customer, revision: int) -> Moment | None:
        """Finds the customer's state at a revision, or None if there was none such."""


class Operations(Protocol):
    """The record of every change."""

    def record(self, operation: Operation) -> None:
        """Writes an operation and gives each of its customers the next revision.

        The last act of a transaction: the time of the operation is read here, so that between it and the commit there
        is next to nothing, and a look at a past instant stays true.
        """


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

    def write(self, organization_id: str, interruption: Interruption, work: Callable[[UnitOfWork], T]) -> T:
        """Runs `work` and commits, or changes nothing at all. Work that lost against others is run again.

        Raises:
            Conflict: it kept losing.
            DatabaseUnavailable: the database cannot be reached.
            Cancelled, DeadlineExceeded: the caller's patience ended first.
        """

    def read(self, organization_id: str, interruption: Interruption, work: Callable[[UnitOfWork], T]) -> T:
        """Runs `work` without a lock on one unchanging view of the data. Raises as `write` does."""
