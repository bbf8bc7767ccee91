"""The databases that the tests run on: what a test has to know of each, beside its backend.

Every test with the fixture `database_url` or `database` runs on each of `KINDS`.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest
from sqlalchemy import event, make_url, text

from service.storage.database import Database
from tests import sqlite_files

if TYPE_CHECKING:
    from tests.postgres import Postgres


class Kind(Protocol):
    """A kind of database."""

    def fresh(self, request: pytest.FixtureRequest, folder: Path) -> Any:
        """Makes a database with today's tables. Returns a context manager of its URL."""

    def empty(self, request: pytest.FixtureRequest, folder: Path) -> Any:
        """Makes a database without tables, or only its URL. Returns a context manager of its URL."""

    def interval(self, length: timedelta) -> str:
        """Writes a length of time as SQL that can be added to a column of times."""

    def busy(self) -> Exception:
        """Makes an error with which the driver ends a transaction that can be run again."""

    def full(self) -> Exception:
        """Makes the driver's error on a full disk."""

    def slow_down(self, database: Database) -> None:
        """Makes every insert into `customer_revision` take a millisecond."""

    def fill_disk(self, database: Database) -> None:
        """Makes inserts into `device` fail as they do on a full disk. Some may still succeed."""


class SQLiteKind:
    """See `Kind`."""

    @contextmanager
    def fresh(self, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:  # noqa: ARG002  # the interface's
        """Copies a migrated file."""
        yield sqlite_files.fresh(folder / "test.db")

    @contextmanager
    def empty(self, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:  # noqa: ARG002  # the interface's
        """Makes no file: `schema.upgrade` does."""
        yield f"sqlite:///{folder / 'empty.db'}"

    def interval(self, length: timedelta) -> str:
        """Writes microseconds."""
        return str(length // timedelta(microseconds=1))

    def busy(self) -> Exception:
        """The database is locked."""
        error = sqlite3.OperationalError()
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        return error

    def full(self) -> Exception:
        """The result code of a full disk."""
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        return error

    def slow_down(self, database: Database) -> None:
        """Adds a trigger that calls Python."""

        def connected(connection: sqlite3.Connection, _record: Any) -> None:
            connection.create_function("slow", 0, lambda: time.sleep(0.001))

        event.listen(database.engine, "connect", connected)
        database.engine.dispose()
        with database.session() as connection:
            connection.execute(text("CREATE TRIGGER slow BEFORE INSERT ON customer_revision BEGIN SELECT slow(); END"))

    def fill_disk(self, database: Database) -> None:
        """Limits the file to its size."""

        def connected(connection: sqlite3.Connection, _record: Any) -> None:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages}").close()

        event.listen(database.engine, "connect", connected)
        database.engine.dispose()


class PostgresKind:
    """See `Kind`.

    Args:
        fixture: the fixture of the server.
    """

    def __init__(self, fixture: str = "postgres_server") -> None:
        self._fixture = fixture

    @contextmanager
    def fresh(self, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:  # noqa: ARG002  # the interface's
        """Copies a migrated database."""
        server: Postgres = request.getfixturevalue(self._fixture)
        url = server.fresh()
        yield url
        server.drop(url)

    @contextmanager
    def empty(self, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:  # noqa: ARG002  # the interface's
        """Makes a database."""
        server: Postgres = request.getfixturevalue(self._fixture)
        url = server.create()
        yield url
        server.drop(url)

    def interval(self, length: timedelta) -> str:
        """Writes an interval."""
        return f"interval '{length.total_seconds()} seconds'"

    def busy(self) -> Exception:
        """A serialization failure."""
        return psycopg.errors.SerializationFailure()

    def full(self) -> Exception:
        """The SQLSTATE of a full disk."""
        return psycopg.errors.DiskFull("could not extend file")

    def slow_down(self, database: Database) -> None:
        """Adds a trigger that sleeps."""
        with database.session() as connection:
            body = "'BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END'"
            connection.execute(text(f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS {body}"))
            when = "BEFORE INSERT ON customer_revision"
            connection.execute(text(f"CREATE TRIGGER slow {when} FOR EACH ROW EXECUTE FUNCTION slow()"))

    def fill_disk(self, database: Database) -> None:
        """Adds a trigger that raises the error."""
        with database.session() as connection:
            connection.execute(
                text("""
CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN RAISE EXCEPTION USING ERRCODE = ''53100'', MESSAGE = ''No space left on device''; END'""")
            )
            connection.execute(
                text("CREATE TRIGGER no_space BEFORE INSERT ON device FOR EACH ROW EXECUTE FUNCTION no_space()")
            )


# A third database adds itself here, and every test of `service/storage` that is not about one database runs on it.
KINDS: dict[str, Kind] = {"sqlite": SQLiteKind(), "postgresql": PostgresKind()}

OLDEST = "postgresql, the oldest that is installed"
"""What the tests of `storage/conformance` run on beside `KINDS`."""


def kind_of(database: Database) -> Kind:
    """Returns the kind of a database."""
    return KINDS[make_url(database.url).get_backend_name()]
