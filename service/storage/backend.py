"""Where SQLite and PostgreSQL differ: one interface here, one module for each of them beside it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy
from sqlalchemy import Engine, PoolProxiedConnection

from service.domain.cancellation import Cancellation
from service.storage.statement import Compiled, Statement

if TYPE_CHECKING:
    from service.storage.connection import Connection


class View(Enum):
    """What a transaction sees and does."""

    WRITE = auto()  # each statement looks afresh, behind the locks that the ones before it took
    SNAPSHOT = auto()  # reads; all statements see one moment
    STATEMENT = auto()  # reads with one statement alone, which needs no transaction around it


class Failure(Enum):
    """What an error of the driver means to a transaction."""

    RETRY = auto()  # lost against another transaction: run it again
    BUSY = auto()  # waited for another transaction for as long as it may
    STOPPED = auto()  # stopped on our own request, or by a limit of the database
    AWAY = auto()  # the database cannot be reached or does not work
    DEFECT = auto()  # anything else


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Which assignments of a customer to begin or to end, and the revision to log it under."""

    organization_id: str
    customer_id: str
    revision: int
    identifiers: Sequence[str]

    @property
    def parameters(self) -> dict[str, Any]:
        """Gives it as a statement's parameters."""
        return {
            "organization_id": self.organization_id,
            "customer_id": self.customer_id,
            "revision": self.revision,
            "identifiers": list(self.identifiers),
        }


class Backend(Protocol):
    """What the two databases do each in their own way."""

    @property
    def lock_and_unassign(self) -> Sequence[Statement]:
        """What `end_assignments` does, of the customer of an `email_key`, who is locked; the last tells which."""

    @property
    def sqlalchemy_dialect(self) -> sqlalchemy.Dialect:
        """The SQL that statements are compiled to."""

    def engine(self, url: str, connections: int) -> Engine:
        """Makes an engine whose pool holds up to so many connections."""

    def writing(self, cancellation: Cancellation) -> AbstractContextManager[None]:
        """Waits for the right to write, as far as there is one for the whole database."""

    def begin(self, pooled: PoolProxiedConnection, cancellation: Cancellation, view: View) -> None:
        """Begins a transaction."""

    def commit(self, pooled: PoolProxiedConnection) -> None:
        """Ends it, keeping what it did."""

    def flush(self, pooled: PoolProxiedConnection) -> None:
        """Sees to it that everything has been sent, before somebody else uses the connection."""

    def rows(
        self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """Runs a statement and gives its rows."""

    def batch(
        self, pooled: PoolProxiedConnection, statements: Iterable[tuple[Compiled, Mapping[str, Any]]]
    ) -> list[list[tuple[Any, ...]]]:
        """Runs statements one after the other, in one round trip if there are any, and gives each one's rows."""

    def count(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> int:
        """Runs a statement and tells how many rows it wrote."""

    def defer(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> None:
        """Runs a statement whose outcome nobody needs, at the latest together with the commit."""

    def writable(self, engine: Engine) -> bool:
        """Returns whether the database takes writes, rather than reads alone."""

    def broken(self, pooled: PoolProxiedConnection) -> bool:
        """Tells whether a connection is of no more use."""

    def stop(self, pooled: PoolProxiedConnection) -> None:
        """Stops the statement that a connection is running, from another thread."""

    def failure(self, error: Exception) -> Failure:
        """Tells what an error of the driver means, whether SQLAlchemy has wrapped it or not."""

    def unconfirmed(self, pooled: PoolProxiedConnection, error: Exception) -> bool:
        """Whether a commit that ended in this error may be kept all the same, or be kept and then lost."""

    def end_assignments(self, connection: "Connection", change: ChangeSet) -> list[str]:
        """Deletes assignments and logs their end. Gives the identifiers of those that there were."""

    def begin_assignments(self, connection: "Connection", change: ChangeSet) -> list[str]:
        """Inserts assignments and logs their beginning. Gives the identifiers of those that were not there yet."""

    def share_device(
        self, connection: "Connection", organization_id: str, identifier: str, revisions: Mapping[str, int]
    ) -> list[str]:
        """Assigns a device to customers and logs it under a revision of each, by id. Gives those that it was new to."""

    def end_all_assignments(
        self, connection: "Connection", organization_id: str, customer_id: str, revision: int
    ) -> int:
        """Deletes all assignments of a customer and logs their end. Gives their number."""

    def create_devices(
        self, connection: "Connection", organization_id: str, device_type: str, ids: Mapping[str, str]
    ) -> None:
        """Inserts devices, with their ids by identifier, where there are none."""

    def record_operation(
        self, connection: "Connection", operation: Mapping[str, Any], deltas: Mapping[str, int], *, lead: timedelta
    ) -> None:
        """Writes an operation and moves each of its customers on by a revision, at one later time for all.

        The time is `lead` ahead of the clock.
        """

    def operation_changes(self, connection: "Connection", parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Lists an operation's changes as customer, device and change, by the first two, from behind such a pair."""
