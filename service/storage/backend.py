"""What a database must answer. `postgresql/` and `sqlite/` each implement `Backend`; they have all that differs."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import sqlalchemy
from sqlalchemy import Engine, PoolProxiedConnection, UniqueConstraint
from sqlalchemy.exc import IntegrityError

from service.domain.cancellation import Cancellation
from service.domain.email import Email
from service.storage.checkup import Check
from service.storage.statement import Compiled, Statement

if TYPE_CHECKING:
    from service.storage.connection import Connection


Mode = Literal["auto", "always", "never"]
"""Whether statements are prepared: `auto` is until a pooler before the database turns out not to keep them."""


class View(Enum):
    """What a transaction reads, and whether it writes."""

    WRITE = auto()  # writes; each statement reads what is committed when it begins
    SNAPSHOT = auto()  # reads; all statements read the same committed state
    STATEMENT = auto()  # reads with a single statement, which needs no transaction around it


class Failure(Enum):
    """What an error of the driver means to a transaction."""

    RETRY = auto()  # a conflict with another transaction: run it again
    BUSY = auto()  # the wait for another transaction's lock has timed out
    STOPPED = auto()  # cancelled by this service, or by a time limit of the database
    AWAY = auto()  # the database cannot be reached or does not work
    READ_ONLY = auto()  # the database that this connection leads to takes no writes; another connection may find one
    FULL = auto()  # the disk of the database is full
    DEFECT = auto()  # anything else


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """Which of a customer's assignments to begin or to end, and the revision that does it."""

    organization_number: int
    customer_number: int
    revision: int
    identifiers: Sequence[str]

    @property
    def parameters(self) -> dict[str, Any]:
        """The same as the parameters of a statement."""
        return {
            "organization_number": self.organization_number,
            "customer_number": self.customer_number,
            "revision": self.revision,
            "identifiers": list(self.identifiers),
        }


class Sessions(Protocol):
    """`Database.session`: opens a connection in a transaction of its own."""

    def __call__(self, *, write: bool = True) -> AbstractContextManager[sqlalchemy.Connection]:
        """Opens it."""


class Backend(Protocol):
    """What each database does in its own way. `location.BACKENDS` lists the implementations."""

    # The URL, the driver and its errors.

    @property
    def place(self) -> str:
        """Where the database is, without user, password and options."""

    @property
    def driver_errors(self) -> tuple[type[Exception], ...]:
        """The driver's own exceptions."""

    @property
    def sqlalchemy_dialect(self) -> sqlalchemy.Dialect:
        """The SQLAlchemy dialect that statements are compiled for."""

    def reason(self, error: Exception) -> str:
        """Returns the first line of a driver's error, without the passwords that the driver was called with."""

    def failure(self, error: Exception) -> Failure:
        """Classifies an error of the driver, whether SQLAlchemy has wrapped it or not."""

    def unconfirmed(self, pooled: PoolProxiedConnection, error: Exception) -> bool:
        """Returns whether a commit that ended in this error may have taken effect, or may be lost later."""

    def violates(self, error: IntegrityError, constraint: UniqueConstraint) -> bool:
        """Returns whether an integrity error is about this unique constraint and no other."""

    # Connections and transactions.

    def engine(self, connections: int) -> Engine:
        """Makes an engine whose pool holds at most so many connections."""

    def writing(self, cancellation: Cancellation) -> AbstractContextManager[None]:
        """Waits until this process may write, where a database has one writer at a time."""

    def begin(self, pooled: PoolProxiedConnection, cancellation: Cancellation, view: View) -> None:
        """Begins a transaction."""

    def commit(self, pooled: PoolProxiedConnection) -> None:
        """Commits the transaction."""

    def flush(self, pooled: PoolProxiedConnection) -> None:
        """Sends the deferred statements, so that SQLAlchemy can use the connection."""

    def broken(self, pooled: PoolProxiedConnection) -> bool:
        """Returns whether a connection is lost."""

    def stop(self, pooled: PoolProxiedConnection) -> None:
        """Cancels the statement that a connection is running. Called from another thread."""

    # Statements: how one is run.

    def rows(
        self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """Runs a statement and returns its rows."""

    def batch(
        self, pooled: PoolProxiedConnection, statements: Iterable[tuple[Compiled, Mapping[str, Any]]]
    ) -> list[list[tuple[Any, ...]]]:
        """Runs statements in order, in one round trip where there are round trips, and returns the rows of each."""

    def count(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> int:
        """Runs a statement and returns how many rows it wrote."""

    def defer(self, pooled: PoolProxiedConnection, compiled: Compiled, bound: Mapping[str, Any]) -> None:
        """Runs a statement whose result is not needed, with the commit at the latest."""

    # Statements that each database writes in its own SQL.

    @property
    def lock_and_unassign(self) -> Sequence[Statement]:
        """`end_assignments` for the customer of an `email_key`, who is locked. The last one returns the identifiers."""

    def end_assignments(self, connection: "Connection", change: ChangeSet) -> list[str]:
        """Moves assignments to the past ones. Returns the identifiers of those that existed."""

    def begin_assignments(self, connection: "Connection", change: ChangeSet) -> list[str]:
        """Inserts assignments. Returns the identifiers of those that did not exist."""

    def share_device(
        self, connection: "Connection", organization_number: int, identifier: str, revisions: Mapping[int, int]
    ) -> list[int]:
        """Assigns a device to customers from a revision of each on. The revisions are by customer number.

        Returns:
            The numbers of the customers who did not have the device.
        """

    def end_all_assignments(
        self, connection: "Connection", organization_number: int, customer_number: int, revision: int
    ) -> int:
        """Moves all assignments of a customer to the past ones. Returns how many there were."""

    def create_customers(
        self, connection: "Connection", organization_number: int, emails: Sequence[Email], ids: Sequence[str]
    ) -> set[str]:
        """Inserts a customer, named by the local part, for each address that has none, with the id of its place.

        The customers are inserted in the order of the addresses' keys.

        Returns:
            The keys of the addresses that had none.
        """

    def create_imported_customers(self, connection: sqlalchemy.Connection, organization_number: int) -> int:
        """Inserts the customers in the table `import_line` that do not exist. Returns how many there were."""

    def create_devices(
        self, connection: "Connection", organization_number: int, device_type: str, ids: Mapping[str, str]
    ) -> None:
        """Inserts those devices that do not exist, with their ids by identifier."""

    def record_operation(
        self, connection: "Connection", operation: Mapping[str, Any], deltas: Mapping[int, int], *, lead: timedelta
    ) -> None:
        """Inserts an operation and moves each of its customers, by number, to the next revision, all at the same time.

        The time is `lead` ahead of the clock, and later than each customer's previous operation.
        """

    def operation_changes(self, connection: "Connection", parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Lists id of customer, device and change of an operation, by number and device, after a given pair."""

    @property
    def changes_of_operation(self) -> str:
        """A query: customer number, device, change and revision of all that an operation began and ended."""

    @property
    def delete_reverted(self) -> str:
        """A statement that deletes the assignments which the table `revert_change` says began."""

    def lock_reverted_customers(self, connection: sqlalchemy.Connection, operation: Mapping[str, Any]) -> None:
        """Locks the customers of an operation and the present owners of its devices, in the order of their numbers."""

    def lock_reverted_devices(self, connection: sqlalchemy.Connection, operation: Mapping[str, Any]) -> None:
        """Locks the devices in the table `revert_change`, so that no other transaction assigns one of them."""

    # Administration.

    def create_file(self) -> None:
        """Makes the database's file, where a database is a file and does not exist.

        Raises:
            OSError: it cannot be made.
        """

    def copy_to(self, file: Path) -> int:
        """Writes a copy of the database to a file that does not exist, while the database is used.

        Returns:
            The size of the file in bytes.

        Raises:
            OperatorError: databases of this kind are copied with a tool of their own.
            OSError: the file exists, or cannot be written.
        """

    def missing_file(self, remedy: str) -> str:
        """Returns a sentence that says that the file is missing and ends in the remedy; empty if none is missing.

        Raises:
            OSError: the system does not let this user look for the file.
        """

    def lock_schema(self, connection: sqlalchemy.Connection) -> None:
        """Keeps other upgrades out until the transaction ends."""

    def unsuitable(self, connection: sqlalchemy.Connection) -> str:
        """Returns a sentence that says why the database cannot be used: its version, its encoding. Empty if it can."""

    def missing_privileges(self, connection: sqlalchemy.Connection, tables: Sequence[str]) -> str:
        """Returns the privileges that a server needs and its user does not have; empty if it has all."""

    def allowed_connections(self, connection: sqlalchemy.Connection) -> int | None:
        """Returns how many connections the database allows; None where one process serves it best."""

    def writable(self, engine: Engine) -> bool:
        """Returns whether the database takes writes."""

    def renew_statistics(self, session: Sessions, tables: Sequence[str], *, committed: bool) -> list[str]:
        """Renews the planner's statistics of the tables that have outgrown them. See `statistics.renew`."""

    @property
    def checks(self) -> Sequence[Check]:
        """What `db check` looks at in databases of this kind."""
