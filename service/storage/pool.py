"""A pool of connections, and what becomes of a connection when a transaction on it ends or fails."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Pool, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.domain.cancellation import Cancellation
from service.domain.errors import Conflict, DatabaseUnavailable, DeadlineExceeded, OutcomeUnknown, Overloaded
from service.metrics import numbers
from service.runtime import log
from service.runtime.log_limits import LogLimits
from service.storage import location
from service.storage.backend import Failure, Mode, View
from service.storage.connection import Connection
from service.storage.transaction import Retry
from service.tracing import spans

_CONNECTIONS = numbers.gauge("database_connections", "Connections to the database in the pool.", state=("used", "idle"))
_MOST = numbers.gauge("database_connections_limit", "How many connections the pool may have.")
_RENEWAL_SECONDS = 1.0
_WHY = {
    Failure.READ_ONLY: "The database takes no writes now; retry later",
    Failure.FULL: "The database's disk is full; retry when there is space again",
}


class ConnectionPool:
    """The connections to a database.

    Args:
        url: one of the forms in `database_url.WANTED`.
        connections: the largest number of connections.
        prepared_statements: whether statements are prepared, where a pooler may stand before the database.

    Raises:
        UnsupportedDatabase: the URL has no such form.
    """

    def __init__(self, url: str, connections: int, prepared_statements: Mode = "auto") -> None:
        self.url = url
        self.backend = location.backend_of(url, prepared_statements)
        self.engine = self.backend.engine(connections)
        self._renewed_at = -math.inf
        self._limits = LogLimits()
        self._connection = Connection
        if spans.started():
            from service.storage.traced_connection import TracedConnection, trace_core  # noqa: PLC0415  # seldom wanted

            self._connection = TracedConnection
            trace_core(self.engine)
        self._driver_errors: tuple[type[Exception], ...] = (DBAPIError, *self.backend.driver_errors)

    def write_gauges(self) -> None:
        """Writes the state of the pool, for Prometheus."""
        pool: Any = self.engine.pool
        _CONNECTIONS.set(pool.checkedout(), "used")
        _CONNECTIONS.set(pool.checkedin(), "idle")
        _MOST.set(pool.size())

    @contextmanager
    def _connected(self, cancellation: Cancellation, view: View, *, again: bool) -> Iterator[Connection]:
        """Begins a transaction, commits it if the block ends without an error, and rolls it back otherwise.

        Args:
            cancellation: what can end it early.
            view: what it reads, and whether it writes.
            again: whether it can be run again if the connection turns out to be lost.

        Raises:
            Retry: it has failed, and can be run again.
            Conflict, DeadlineExceeded, DatabaseUnavailable, Overloaded, Cancelled: it has failed.
            OutcomeUnknown: it may have been committed.
        """
        pool = self.engine.pool
        try:
            pooled = self.engine.raw_connection()
        except PoolTimeoutError as error:
            raise Overloaded from error
        except self._driver_errors as error:
            raise self._translated(error, cancellation, lost=False) from error
        connection = self._connection(self.engine, pooled, self.backend)
        committing = False
        try:
            with cancellation.stopping(lambda: self.backend.stop(pooled)):
                self.backend.begin(pooled, cancellation, view)
                yield connection
            # From here on nothing is cancelled. If a COMMIT that waits for a standby is cancelled, PostgreSQL answers
            # with success, and other transactions read what may still be lost.
            cancellation.check()
            committing = True
            connection.commit()
        except self._driver_errors as error:
            # A pooled connection may have been lost long ago, in a restart of the database; then nothing was done.
            # After a COMMIT it is not known whether something was, and only the caller can ask, by the request id.
            # A transaction that was refused because the database is read-only has changed nothing, even at its commit.
            refused = self.backend.failure(error) is Failure.READ_ONLY
            lost = self._lost(pooled, pool, error) and again and (refused or not committing)
            failure: Exception
            if committing and view is View.WRITE and self.backend.unconfirmed(pooled, error):
                failure = OutcomeUnknown(self._unconfirmed_text(error))
            else:
                failure = self._translated(error, cancellation, lost=lost)
            try:
                if failure is error:
                    raise
                raise failure from error
            finally:
                # Its traceback refers to this frame: a cycle, which only the garbage collector would free.
                del failure
        finally:
            # A connection that returns to a pool that the engine has replaced would never be closed.
            replaced = self.engine.pool is not pool
            self._release(connection, pooled, discard=replaced or cancellation.unsure)

    def _lost(self, pooled: PoolProxiedConnection, pool: Pool, error: Exception) -> bool:
        if getattr(error, "connection_invalidated", False):
            return True
        if self.backend.failure(error) is Failure.READ_ONLY:
            return self._renewed(pool)
        if not self.backend.broken(pooled):
            return False
        # The other connections of the pool are probably lost too, unless another thread has replaced the pool already.
        if self.engine.pool is pool:
            self.engine.dispose()
        return True

    def renew(self) -> None:
        """Has every transaction from now on use a new connection."""
        self._renewed_at = time.monotonic()
        self.engine.dispose()

    def _renewed(self, pool: Pool) -> bool:
        """Drops a pool whose connections lead to a database that takes no writes any more.

        Returns:
            Whether new connections have been made since, so that the work can be run again. They are made once a
            second at most: a database may stay read-only, and reads go on.
        """
        if self.engine.pool is pool and time.monotonic() - self._renewed_at >= _RENEWAL_SECONDS:
            self.renew()
        return self.engine.pool is not pool

    def _release(self, connection: Connection, pooled: PoolProxiedConnection, *, discard: bool) -> None:
        if pooled.is_valid and (discard or self.backend.broken(pooled)):
            pooled.invalidate()
        try:
            connection.close()
        except self._driver_errors:
            # The rollback has found that the connection is lost. The call's result does not depend on it.
            if pooled.is_valid:
                pooled.invalidate()

    def _translated(self, error: Exception, cancellation: Cancellation, *, lost: bool) -> Exception:
        match self.backend.failure(error):
            case Failure.RETRY:
                return Retry()
            case Failure.BUSY:
                cancellation.check()
                return Conflict()
            case Failure.STOPPED:
                cancellation.check()
                return DeadlineExceeded()
            case Failure.AWAY | Failure.READ_ONLY | Failure.FULL as why:
                if why is Failure.FULL:
                    self._log_full()
                return Retry() if lost else DatabaseUnavailable(_WHY.get(why, ""))
            case Failure.DEFECT:
                return error

    def _unconfirmed_text(self, error: Exception) -> str:
        if self.backend.failure(error) is not Failure.FULL:
            return ""
        self._log_full()
        return f"The database's disk is full. {OutcomeUnknown.text}"

    def _log_full(self) -> None:
        left_out = self._limits.admit("full")
        if left_out is not None:
            log.error("the disk of the database is full", database=self.backend.place, left_out=left_out)
