"""Statements on a PostgreSQL connection, with libpq's own functions.

psycopg's cursors take 50 µs or more for a small statement, which is longer than libpq and PostgreSQL take for a planned
one; psycopg's documented module `psycopg.pq` takes 10 µs. The connection stays psycopg's: psycopg opens, cancels and
closes it, and the transaction's state is libpq's, so that cursors can be used in between.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import Diagnostic, error_from_result
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import PoolProxiedConnection

from service.runtime.chunks import chunks
from service.storage.postgresql.parameters import written
from service.storage.postgresql.pipeline import Pipeline, Query
from service.storage.postgresql.prepared import LOST, PreparedStatements, name_of
from service.storage.postgresql.session_settings import QUESTION, SessionSettings

_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
_KEY = "libpq"


class Unconfirmed(psycopg.OperationalError):
    """A commit succeeded with a warning: it was to wait for a standby, which may not have it."""


class Session:
    """A connection, the statements that are prepared on it, and the deferred ones.

    Args:
        connection: the connection, which one thread uses at a time.
        statements: whether statements are prepared.
    """

    def __init__(self, connection: psycopg.Connection[Any], statements: PreparedStatements) -> None:
        self._libpq = connection.pgconn
        self._statements = statements
        self._names: dict[str, bytes] = {}
        self._deferred: list[Query] = []
        self._begun = 0
        self._warnings: list[str] = []
        connection.add_notice_handler(_collecting(self._warnings))
        # Without the connection: with it, times would be in the session's time zone.
        self._reader = Transformer()
        self._pipeline = Pipeline(self._libpq)

    @classmethod
    def of(cls, pooled: PoolProxiedConnection, statements: PreparedStatements) -> "Session":
        """Returns a connection's session, which lives as long as the connection."""
        session = pooled.info.get(_KEY)
        if session is None:
            driver: Any = pooled.driver_connection
            session = pooled.info[_KEY] = cls(driver, statements)
        found: Session = session
        return found

    @cached_property
    def settings(self) -> SessionSettings:
        """What the session is set to. It is read once, outside of a transaction."""
        self._deferred.clear()
        return SessionSettings.of(self._read(self._checked(_query(QUESTION, ()).run(self._libpq)))[0])

    @property
    def broken(self) -> bool:
        """Whether the connection is lost."""
        return self._libpq.status != ConnStatus.OK

    def begin(self, *commands: str) -> None:
        """Discards what an earlier transaction deferred, and defers the commands that begin one."""
        self._deferred = [_query(sql, ()) for sql in commands]
        self._begun = len(commands)

    def commit(self) -> None:
        """Commits, together with the deferred statements. A transaction without a statement was never begun.

        Raises:
            psycopg.Error: it failed, or the transaction had failed before, which PostgreSQL reports as no error.
            Unconfirmed: PostgreSQL has stopped waiting for a standby. It says so in a warning beside the success; the
                warning has the code of any other warning, but a commit has no other warning.
        """
        if self._libpq.transaction_status == TransactionStatus.IDLE and len(self._deferred) <= self._begun:
            self._deferred.clear()
            return
        self._warnings.clear()
        self._deferred.append(_query("COMMIT", ()))
        done = self._exchange()[-1].command_status
        if self._warnings:
            raise Unconfirmed(self._warnings[0])
        if done != b"COMMIT":
            raise psycopg.InternalError(f"the commit ended in {done!r}")

    def defer(self, sql: str, values: Sequence[Any]) -> None:
        """Sends a statement, whose result is not needed, together with the next one in one round trip."""
        self._deferred.append(self._query(sql, values))

    def flush(self) -> None:
        """Sends the deferred statements now, because SQLAlchemy is going to use the connection."""
        if self._deferred:
            self._exchange()

    def run(self, sql: str, values: Sequence[Any]) -> PGresult:
        """Runs a statement after the deferred ones, and prepares it the first time unless that is turned off.

        Args:
            sql: the statement, its parameters numbered `$1`, `$2`, …
            values: the parameters, in the order of their numbers.

        Raises:
            psycopg.Error: it failed, or a deferred one did.
        """
        query = self._query(sql, values)
        if not self._deferred:
            return self._checked(query.run(self._libpq))
        self._deferred.append(query)
        return self._exchange()[-1]

    def rows(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Runs a statement and returns its rows, converted as psycopg converts them."""
        return self._read(self.run(sql, values))

    def batch(self, statements: Iterable[tuple[str, Sequence[Any]]]) -> list[list[tuple[Any, ...]]]:
        """Runs statements in order in one round trip, and returns the rows of each."""
        deferred = len(self._deferred)
        for sql, values in statements:
            self.defer(sql, values)
        return [self._read(result) for result in self._exchange()[deferred:]]

    def _read(self, result: PGresult) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        if not result.ntuples:
            return rows
        self._reader.set_pgresult(result)
        for chunk in chunks(range(result.ntuples)):
            rows += self._reader.load_rows(chunk[0], chunk[-1] + 1, tuple)
        return rows

    def _query(self, sql: str, values: Sequence[Any]) -> Query:
        query = _query(sql, values)
        return query._replace(prepared=True, command=self._prepared(sql)) if self._statements.named else query

    def _prepared(self, sql: str) -> bytes:
        name = self._names.get(sql)
        if name is None:
            name = name_of(sql)
            self._checked(self._libpq.prepare(name, sql.encode()))
            self._names[sql] = name
        return name

    def _exchange(self) -> list[PGresult]:
        """Sends the deferred statements and returns the result of each. After one that fails, the rest is not run."""
        sent, self._deferred = self._deferred, []
        try:
            results = self._pipeline.run(sent)
        except BaseException:
            # It is not known which statements were sent, so the connection must not be used again.
            self._libpq.finish()
            raise
        for result in results:
            self._checked(result)
        return results

    def _checked(self, result: PGresult) -> PGresult:
        if result.status in _DONE:
            return result
        if self.broken or result.error_field(DiagnosticField.SQLSTATE) is None:
            # An error without a code is libpq's own. When a write fails, libpq reports it before it has read that the
            # server is gone, and until then the connection's status is still OK.
            self._libpq.finish()
            raise psycopg.OperationalError("the connection is lost")
        error = error_from_result(result)
        if error.diag.source_function == "RevalidateCachedQuery":
            # A migration has changed a table, and the session keeps the statement that was prepared for the old one.
            self._libpq.finish()
        if isinstance(error, LOST):
            # The transaction is run again, and prepares its statements anew if statements are still prepared.
            self._names.clear()
            self._statements.lost(error)
        raise error


def _query(sql: str, values: Sequence[Any]) -> Query:
    """Makes the query of a statement that is not prepared."""
    formats = [Format.BINARY if isinstance(value, bytes) else Format.TEXT for value in values]
    return Query(prepared=False, command=sql.encode(), values=[written(value) for value in values], formats=formats)


def _collecting(warnings: list[str]) -> Callable[[Diagnostic], None]:
    """Makes a handler of notices. It does not refer to the session, so that no reference cycle keeps them."""

    def collect(notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            warnings.append(notice.message_primary or "")

    return collect
