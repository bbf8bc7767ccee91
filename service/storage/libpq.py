"""Prepared statements on a PostgreSQL connection, by libpq's own calls.

psycopg's cursors take 50 µs and more for a small statement, which is more than libpq and PostgreSQL's planned statement
take together; its documented `psycopg.pq` takes 10. The connection stays psycopg's: it is opened, cancelled and closed
there, and its transaction state is libpq's, so that cursors can be used in between.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult
from sqlalchemy import PoolProxiedConnection

_DONE = {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}
_KEY = "libpq"


class Session:
    """A connection and what is prepared on it.

    Args:
        connection: the connection, of which one thread makes use at a time.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._libpq = connection.pgconn
        self._names: dict[str, bytes] = {}
        self._reader = Transformer(connection)

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

    def command(self, sql: bytes) -> str:
        """Runs a command without parameters, such as COMMIT, and gives what the server says that it has done.

        Raises:
            psycopg.Error: it failed.
        """
        return (self._checked(self._libpq.exec_(sql)).command_status or b"").decode()

    def run(self, sql: str, values: Sequence[Any]) -> PGresult:
        """Runs a statement, which is prepared the first time.

        Args:
            sql: the statement, its parameters numbered `$1`, `$2`, …
            values: the parameters, in the order of their numbers.

        Raises:
            psycopg.Error: it failed.
        """
        name = self._names.get(sql)
        if name is None:
            name = f"da_{len(self._names)}".encode()
            self._checked(self._libpq.prepare(name, sql.encode()))
            self._names[sql] = name
        formats = [Format.BINARY if isinstance(value, bytes) else Format.TEXT for value in values]
        written: Any = [_written(value) for value in values]  # None, for NULL, is missing in psycopg's types
        return self._checked(self._libpq.exec_prepared(name, written, formats))

    def rows(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Runs a statement and gives its rows, read as psycopg reads them."""
        result = self.run(sql, values)
        self._reader.set_pgresult(result)
        return self._reader.load_rows(0, result.ntuples, tuple)

    def _checked(self, result: PGresult) -> PGresult:
        if result.status in _DONE:
            return result
        if self.broken:
            raise psycopg.OperationalError("the connection is lost")
        raise error_from_result(result)


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
