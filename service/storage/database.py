"""Runs work in transactions: all of it or nothing, again after a conflict, cancelled if the caller is gone."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import sqlalchemy
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.domain.cancellation import Cancellation
from service.domain.errors import Conflict, OutcomeUnknown, ServiceError
from service.metrics import numbers
from service.storage import location
from service.storage.backend import Mode, View
from service.storage.pool import ConnectionPool
from service.storage.transaction import Retry, Transaction

T = TypeVar("T")

_UNCONFIRMED = "The database did not confirm that the change is kept"
_TRIES = 6
_FIRST_PAUSE_SECONDS = 0.005

_RETRIES = numbers.counter(
    "transaction_retries", "Transactions that were run again, after a conflict or a lost connection."
)
_CHANGED = numbers.counter(
    "devices_changed", "Assignments that calls have begun or ended.", change=("assigned", "unassigned")
)


class Database(ConnectionPool):
    """A database and its connections.

    Args:
        url: `sqlite:///file.db` or `postgresql+psycopg://…`.
        connections: the largest number of connections.
        prepared_statements: whether statements are prepared, where a pooler may stand before the database.

    Raises:
        UnsupportedDatabase: the URL has neither form.
    """

    def __init__(self, url: str, connections: int = 5, prepared_statements: Mode = "auto") -> None:
        super().__init__(url, connections, prepared_statements)

    def write(self, organization_id: str, cancellation: Cancellation, work: Callable[[Transaction], T]) -> T:
        """See `unit_of_work.Storage`."""
        for attempt in range(_TRIES):
            if attempt:
                _RETRIES.add()
                # The random factor keeps transactions that were in conflict from being in conflict again.
                time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt * (0.5 + random.random()))  # noqa: S311  # no secret
            with self.backend.writing(cancellation):
                try:
                    return self._run(organization_id, cancellation, work, View.WRITE)
                except Retry:
                    continue
        raise Conflict

    def read(
        self,
        organization_id: str,
        cancellation: Cancellation,
        work: Callable[[Transaction], T],
        *,
        one_statement: bool = False,
    ) -> T:
        """See `unit_of_work.Storage`."""
        view = View.STATEMENT if one_statement else View.SNAPSHOT
        for attempt in range(_TRIES):
            if attempt:
                _RETRIES.add()
            try:
                return self._run(organization_id, cancellation, work, view)
            except Retry:
                continue
        raise Conflict

    def _run(self, organization_id: str, cancellation: Cancellation, work: Callable[[Transaction], T], view: View) -> T:
        with self._connected(cancellation, view, again=True) as connection:
            transaction = Transaction(connection, organization_id, self.backend)
            result = work(transaction)
            if view is View.WRITE:
                transaction.operations.finish(cancellation)
        if view is View.WRITE and (done := transaction.operations.recorded) is not None:
            _CHANGED.add(done.assigned_count, "assigned")
            _CHANGED.add(done.unassigned_count, "unassigned")
        return result

    @contextmanager
    def session(self, *, write: bool = True) -> Iterator[sqlalchemy.Connection]:
        """Opens a connection in a transaction of no organisation, for keys, organisations and maintenance.

        Raises:
            Conflict, DatabaseUnavailable, Overloaded, OutcomeUnknown: as `write` does. `IntegrityError` passes through.
        """
        unlimited = Cancellation()
        view = View.WRITE if write else View.SNAPSHOT
        try:
            with (
                self.backend.writing(unlimited) if write else nullcontext(),
                self._connected(unlimited, view, again=False) as connection,
            ):
                yield connection.core
        except Retry as error:
            raise Conflict from error
        except OutcomeUnknown as error:
            raise OutcomeUnknown(f"{_UNCONFIRMED}; look whether it is before you run this again") from error

    def reachable(self) -> bool:
        """Returns whether the database answers."""
        return not self.why_unreachable()

    def why_unreachable(self) -> str:
        """Returns the driver's reason why the database does not answer; empty if it does."""
        try:
            with self.session(write=False) as connection:
                # Reads a table, because SQLite answers `SELECT 1` without reading its file.
                connection.execute(text("SELECT version_num FROM alembic_version")).close()
        except (DBAPIError, ServiceError) as error:
            cause = error if isinstance(error, DBAPIError) else error.__cause__
            return (location.cause(self.url, cause) if isinstance(cause, Exception) else "") or str(error)
        return ""

    def writable(self) -> bool:
        """Returns whether the database takes writes."""
        errors: tuple[type[Exception], ...] = (PoolTimeoutError, *self._driver_errors)
        try:
            return self.backend.writable(self.engine)
        except errors:
            return False

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()
