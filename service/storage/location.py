"""Chooses the backend of a URL, and reports the driver's errors without user, password and options."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError

from service.storage.backend import Backend, Failure, Mode
from service.storage.database_url import WANTED, DatabaseRefused, UnsupportedDatabase
from service.storage.postgresql.backend import PostgreSQL
from service.storage.sqlite.backend import SQLite

_NAME = re.compile(r"[a-z0-9+]+")

BACKENDS: dict[str, type[PostgreSQL | SQLite]] = {
    "sqlite": SQLite,
    "postgres": PostgreSQL,
    "postgresql": PostgreSQL,
    "postgresql+psycopg": PostgreSQL,
}
"""The backends, by what stands before `://` in a URL. Nothing else chooses between databases."""


def backend_of(url: str, prepared_statements: Mode = "auto") -> Backend:
    """Makes the backend that a URL asks for.

    Raises:
        UnsupportedDatabase: no backend has such URLs, or the backend cannot use this one.
    """
    name, separator, _ = url.partition("://")
    if not separator or not _NAME.fullmatch(name):
        raise UnsupportedDatabase(f"the database URL cannot be read; {WANTED}")
    if (backend := BACKENDS.get(name)) is None:
        raise UnsupportedDatabase(f"the database URL names {name}, which is not supported; {WANTED}")
    return backend(url, prepared_statements)


def place(url: str) -> str:
    """Returns where a database is: a file, or a name, a host and a port."""
    return backend_of(url).place


def cause(url: str, error: Exception) -> str:
    """Returns the first line of the driver's error, without the passwords that the driver was called with."""
    original: Any = getattr(error, "orig", None) or error
    return backend_of(url).reason(original)


def refused(url: str, error: Exception) -> DatabaseRefused:
    """Makes the error that quotes the driver's."""
    if backend_of(url).failure(error) is Failure.FULL:
        return DatabaseRefused(f"the disk of the database {place(url)} is full; make space on it and try again")
    return DatabaseRefused(f"the database {place(url)} does not allow this: {cause(url, error)}")


@contextmanager
def worded(url: str) -> Iterator[None]:
    """Turns an error of the driver into one sentence, for the commands.

    Raises:
        DatabaseRefused: the driver raised an error.
    """
    errors: tuple[type[Exception], ...] = (DBAPIError, *backend_of(url).driver_errors)
    try:
        yield
    except errors as error:
        raise refused(url, error) from error
