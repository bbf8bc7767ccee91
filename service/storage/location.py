"""Where a database is, read from its URL, and what may be told of that: never its user, its password or its options."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import pq
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from service.runtime.operator_error import OperatorError

WANTED = "use sqlite:///path/to/file.db or postgresql+psycopg://user:password@host/database"


class UnsupportedDatabase(OperatorError):
    """The URL names no database that this service works with; the text says which it does."""


class DatabaseRefused(OperatorError):
    """The database does not do what a command needs; the text says what it said."""


def parsed(url: str) -> URL:
    """Reads a URL. No error quotes it: where a part is misread, a piece of the password may stand in another.

    Raises:
        UnsupportedDatabase: it cannot be read, or another part of it than the password may be the password.
    """
    rest = url.partition("://")[2]
    if rest.partition(":")[2].count("@") > 1 or "@" in rest.partition("?")[2]:
        raise UnsupportedDatabase(
            "the database URL cannot be read: write special characters in the user, the password and the options "
            "percent-encoded, @ as %40 and ? as %3F for example"
        )
    try:
        url.encode()
        found = make_url(url)
    except (ArgumentError, ValueError):
        raise UnsupportedDatabase(f"the database URL cannot be read; {WANTED}") from None
    if found.drivername == "sqlite":
        _check_path(url, found)
    elif found.drivername in {"postgresql", "postgresql+psycopg"}:
        _check_options(found)
    return found


def sqlite_path(url: str) -> str:
    """Names the file of an SQLite database."""
    return parsed(url).database or ""


def _check_path(url: str, found: URL) -> None:
    if "?" in url:
        raise UnsupportedDatabase("the URL of an SQLite database takes no options; write a ? in its path as %3F")
    if found.host:
        raise UnsupportedDatabase("the URL of an SQLite file begins with sqlite:/// and three slashes, or with four")
    if "\0" in (found.database or ""):
        raise UnsupportedDatabase("the path of an SQLite database has a NUL character")


def _check_options(found: URL) -> None:
    """Refuses options that the driver does not know: those of other drivers, such as `pgbouncer`, are common."""
    try:
        found.get_dialect()().create_connect_args(found)
    except ArgumentError:
        raise UnsupportedDatabase(f"the hosts and ports of the database URL cannot be read; {WANTED}") from None
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    unknown = sorted(set(found.query) - known)
    if unknown:
        # Behind a password that is not encoded, a piece of it may look like an option.
        secret = any("password" in name for name in found.query)
        named = "" if secret else f": {', '.join(unknown)}"
        raise UnsupportedDatabase(f"the database URL has an option that PostgreSQL's driver does not know{named}")


def _connection(found: URL) -> Mapping[str, Any]:
    """Gives what the driver is called with, over its defaults."""
    defaults = {option.keyword.decode(): option.val for option in pq.Conninfo.get_defaults()}
    given: Mapping[str, Any] = found.get_dialect()().create_connect_args(found)[1]
    known = {name: value.decode(errors="replace") for name, value in defaults.items() if value is not None}
    return {**known, **given}


def place(url: str) -> str:
    """Tells where a database is."""
    found = parsed(url)
    if found.drivername == "sqlite":
        return found.database or ""
    values = _connection(found)
    host = values.get("host") or values.get("hostaddr") or "the local socket"
    return f"{values.get('dbname') or values.get('user')} on {host}, port {values['port']}"


_LEAST_SECRET = 4


def cause(url: str, error: Exception) -> str:
    """Gives the first line of what the driver said, without the passwords that it was called with."""
    original: Any = getattr(error, "orig", None) or error
    said = getattr(getattr(original, "diag", None), "message_primary", None) or str(original)
    line = next(iter(said.strip().splitlines()), type(original).__name__)
    if line.startswith("connection to server"):
        line = line.partition(" failed: ")[2] or line
    found = parsed(url)
    if found.drivername != "sqlite":
        for name, value in _connection(found).items():
            # A shorter one would stand in words by chance; and what follows the connection's parameters has none.
            if "password" in name and len(str(value)) >= _LEAST_SECRET:
                line = line.replace(str(value), "***")
    return line


def refused(url: str, error: Exception) -> DatabaseRefused:
    """Words what the driver said."""
    return DatabaseRefused(f"the database {place(url)} does not allow this: {cause(url, error)}")


@contextmanager
def worded(url: str) -> Iterator[None]:
    """Has a command end in a sentence where the driver raises an error.

    Raises:
        DatabaseRefused: it did.
    """
    try:
        yield
    except (DBAPIError, psycopg.Error, sqlite3.Error) as error:
        raise refused(url, error) from error
