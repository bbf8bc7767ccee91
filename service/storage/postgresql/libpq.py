"""Prepared statements on a PostgreSQL connection, by libpq's own calls.

psycopg's cursors take 50 µs and more for a small statement, which is more than libpq and PostgreSQL's planned statement
take together; its documented `psycopg.pq` takes 10. The connection stays psycopg's: it is opened, cancelled and closed
there, and its transaction state is libpq's, so that cursors can be used in between.
"""

import select
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import Diagnostic, error_from_result
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult
from sqlalchemy import PoolProxiedConnection

from service.runtime.chunks import parts

_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
_KEY = "libpq"


class Unconfirmed(psycopg.OperationalError):
    """A commit has succeeded with a warning: perhaps no standby has it, though one is to be waited for."""


class _Prepared(NamedTuple):
    name: bytes
    values: Any
    formats: list[Format]


class Session:
    """A connection, what is prepared on it, and what waits to be sent.

    Args:
        connection: the connection, of which one thread makes use at a time.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._libpq = connection.pgconn
        self._names: dict[str, bytes] = {}
        self._waiting: list[_Prepared] = []
        self._warnings: list[str] = []
        connection.add_notice_handler(_noting(self._warnings))
        self._reader = Transformer(connection)
        self._readable, self._ready = select.poll(), select.poll()
        self._readable.register(self._libpq.socket, select.POLLIN)
        self._ready.register(self._libpq.socket, select.POLLIN | select.POLLOUT)

    @classmethod
    def of(cls, pooled: PoolProxiedConnection) -> "Session":
        """Gives a connection's session, which lives as long as the connection."""
        session = pooled.info.get(_KEY)
        if session is None:
            driver: Any = pooled.driver_connection
            session = pooled.info[_KEY] = cls(driver)
        found: Session = session
        return found

    @property
    def broken(self) -> bool:
        """Whether the connection is of no more use."""
        return self._libpq.status != ConnStatus.OK

    def begin(self, command: str | None) -> None:
        """Forgets what an earlier transaction has not sent, and begins one, together with its first statement."""
        self._waiting.clear()
        if command is not None:
            self.defer(command, ())

    def commit(self) -> None:
        """Commits, together with what waits. A transaction without a statement has never begun.

        Raises:
            psycopg.Error: it failed; also if the transaction had failed before, which PostgreSQL does not call one.
            Unconfirmed: PostgreSQL has stopped waiting for a standby. It says so in a warning beside the success, and
                the warning's own code is that of any warning; but a commit has no other.
        """
        if self._libpq.transaction_status == TransactionStatus.IDLE and len(self._waiting) <= 1:
            self._waiting.clear()
            return
        self._warnings.clear()
        done = self.run("COMMIT", ()).command_status
        if self._warnings:
            raise Unconfirmed(self._warnings[0])
        if done != b"COMMIT":
            raise psycopg.InternalError(f"the commit ended in {done!r}")

    def defer(self, sql: str, values: Sequence[Any]) -> None:
        """Sends a statement together with the next one, in one round trip; nobody needs to know what it gives."""
        self._waiting.append(self._prepared(sql, values))

    def flush(self) -> None:
        """Sends what waits now, because somebody else will use the connection."""
        if self._waiting:
            self._exchange()

    def run(self, sql: str, values: Sequence[Any]) -> PGresult:
        """Runs a statement, which is prepared the first time, behind those that wait.

        Args:
            sql: the statement, its parameters numbered `$1`, `$2`, …
            values: the parameters, in the order of their numbers.

        Raises:
            psycopg.Error: it failed, or one that waited did.
        """
        prepared = self._prepared(sql, values)
        if not self._waiting:
            return self._checked(self._libpq.exec_prepared(*prepared))
        self._waiting.append(prepared)
        return self._exchange()[-1]

    def rows(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Runs a statement and gives its rows, read as psycopg reads them."""
        return self._read(self.run(sql, values))

    def batch(self, statements: Iterable[tuple[str, Sequence[Any]]]) -> list[list[tuple[Any, ...]]]:
        """Runs statements in one round trip, each of which sees what the one before it left; gives each one's rows."""
        waited = len(self._waiting)
        for sql, values in statements:
            self.defer(sql, values)
        return [self._read(result) for result in self._exchange()[waited:]]

    def _read(self, result: PGresult) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        if not result.ntuples:
            return rows
        self._reader.set_pgresult(result)
        for part in parts(range(result.ntuples)):
            rows += self._reader.load_rows(part[0], part[-1] + 1, tuple)
        return rows

    def _prepared(self, sql: str, values: Sequence[Any]) -> _Prepared:
        name = self._names.get(sql)
        if name is None:
            name = f"da_{len(self._names)}".encode()
            self._checked(self._libpq.prepare(name, sql.encode()))
            self._names[sql] = name
        formats = [Format.BINARY if isinstance(value, bytes) else Format.TEXT for value in values]
        return _Prepared(name, [_written(value) for value in values], formats)

    def _exchange(self) -> list[PGresult]:
        """Sends what waits in one go and gives each statement's result; behind one that failed, none is run."""
        sent, self._waiting = self._waiting, []
        try:
            results = self._talk(sent)
        except BaseException:
            # Nobody knows how far it came: the connection must not be used again.
            self._libpq.finish()
            raise
        for result in results:
            self._checked(result)
        return results

    def _talk(self, statements: Sequence[_Prepared]) -> list[PGresult]:
        libpq = self._libpq
        libpq.enter_pipeline_mode()
        for prepared in statements:
            libpq.send_query_prepared(*prepared)
        libpq.pipeline_sync()
        while libpq.flush():
            self._ready.poll()
            libpq.consume_input()
        results = []
        while True:
            # libpq's own waiting would keep the interpreter for itself.
            while libpq.is_busy():
                self._readable.poll()
                libpq.consume_input()
            result = libpq.get_result()
            if result is None:  # the end of one statement's results
                if self.broken:
                    raise psycopg.OperationalError("the connection is lost")
                continue
            if result.status == ExecStatus.PIPELINE_SYNC:
                break
            results.append(result)
        libpq.exit_pipeline_mode()
        return results

    def _checked(self, result: PGresult) -> PGresult:
        if result.status in _DONE:
            return result
        if self.broken or result.error_field(DiagnosticField.SQLSTATE) is None:
            # An error without a code is libpq's own. It reports one it met in writing before it has found out by
            # reading that the server is gone, and takes the connection for a good one until then.
            self._libpq.finish()
            raise psycopg.OperationalError("the connection is lost")
        raise error_from_result(result)


def _noting(warnings: list[str]) -> Callable[[Diagnostic], None]:
    """Makes a handler of notices. It knows no session: what refers to each other is freed by the collector alone."""

    def note(notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            warnings.append(notice.message_primary or "")

    return note


def _written(value: Any) -> bytes | None:
    """Writes a parameter as PostgreSQL reads it: in text, but for bytes."""
    match value:
        case None | bytes():
            return value
        case str():
            text = value
        case int():
            text = str(value)
        case list():
            text = _array(value)
        case datetime():
            text = value.isoformat()
        case _:
            raise psycopg.ProgrammingError(f"no parameter is a {type(value).__name__}")
    written = text.encode()
    if b"\0" in written:  # libpq would take it for the end
        raise psycopg.DataError("PostgreSQL has no NUL character in text")
    return written


def _array(values: list[Any]) -> str:
    if not values:
        return "{}"
    texts = values if isinstance(values[0], str) else [str(value) for value in values]
    joined = '","'.join(texts)
    if "\\" in joined or joined.count('"') != 2 * (len(texts) - 1):
        joined = '","'.join(text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return f'{{"{joined}"}}'
