"""What errors say of a database: where it is, but not its user, its password or its options."""

import os

import pytest

from service.domain.errors import DatabaseUnavailable
from service.runtime.operator_error import OperatorError
from service.storage import location, schema
from service.storage.database import Database
from service.storage.database_url import UnsupportedDatabase
from service.storage.location import backend_of
from tests.postgres import Postgres

# Each piece of the password hunter2 that could stand in an error.
_PIECES = ("hunt", "er2")


def reported(url: str) -> str:
    """Opens a database that cannot be opened. Returns the error's text."""
    with pytest.raises((OperatorError, DatabaseUnavailable)) as caught:
        schema.check(Database(url))
    return str(caught.value)


@pytest.mark.parametrize(
    "password",
    ["hunt@er2", "hunt/er2", "hunt?er2", "hunt#er2", "hunt:er2", "hunt@x?er2=1", "hunt%er2", "hunt&er2", "hunt er2"],
)
@pytest.mark.parametrize("rest", ["127.0.0.1:1/nothing", "127.0.0.1:x/nothing", "127.0.0.1:1/nothing?sslmode=disable"])
def test_no_piece_of_a_password_that_is_not_encoded_is_reported(password: str, rest: str) -> None:
    for user in ("me", "", "me%40home"):
        text = reported(f"postgresql+psycopg://{user}:{password}@{rest}")
        assert not [piece for piece in _PIECES if piece in text], text
        assert "\n" not in text


@pytest.mark.parametrize(
    "query",
    [
        "password=hunter2",
        "password=hunt&er2=1",
        "password=hunt@er2",
        "sslpassword=hunter2&sslmode=disable",
        "password=hunter2&pgbouncer=true",
        "password=hunter2&port=x",
        "host=127.0.0.1&password=hunter2",
    ],
)
def test_no_password_in_the_options_is_reported(query: str) -> None:
    text = reported(f"postgresql+psycopg://127.0.0.1:1/nothing?{query}")
    assert not [piece for piece in _PIECES if piece in text], text


def test_a_server_that_repeats_the_password_is_not_quoted(postgres_server: Postgres) -> None:
    url = postgres_server.create()
    where = "&".join(f"{name}={value}" for name, value in _connected(url).items())
    text = reported(f"postgresql+psycopg://hunter2:hunter2@/nothing?{where}")
    assert text.startswith("cannot open the database nothing on ")
    assert "hunter2" not in text
    postgres_server.drop(url)


def _connected(url: str) -> dict[str, str]:
    database = Database(url)
    with database.engine.connect() as connection:
        info = connection.connection.driver_connection.info  # type: ignore[union-attr]  # psycopg's
        found = {"host": info.host, "port": str(info.port)}
    database.close()
    return found


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://me:hunter2@db.example.com:6432/devices", "devices on db.example.com, port 6432"),
        ("postgresql://me:hunter2@[::1]/devices", "devices on ::1, port 5432"),
        ("postgresql://me:hunter2@a/devices?host=/run/pg&port=7", "devices on /run/pg, port 7"),
        ("postgresql://me:hunter2@/devices?host=a:1&host=b:2", "devices on a,b, port 1,2"),
        ("postgresql://me:hunter2@a:1,b:2/devices", "devices on a,b, port 1,2"),
        ("postgres://me:hunter2@%2Frun%2Fpg:7/devices", "devices on /run/pg, port 7"),
        ("postgresql://?service=fleet", "of the service fleet"),
        ("postgresql:///devices", "devices on the local socket, port 5432"),
        ("postgresql://me@server:hunter2@a/devices", "devices on a, port 5432"),
        ("sqlite:////var/c%23/x.db", "/var/c#/x.db"),
    ],
)
def test_the_place_is_what_the_driver_makes_of_the_url(monkeypatch: pytest.MonkeyPatch, url: str, place: str) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    assert location.place(url) == place


def test_an_option_that_the_driver_does_not_know_is_named() -> None:
    assert reported("postgresql://h/d?pgbouncer=true&schema=x") == (
        "the database URL has an option that PostgreSQL's driver does not know: pgbouncer, schema"
    )
    # Parameters of psycopg.connect that are not options of libpq are refused too.
    assert reported("postgresql://h/d?autocommit=1").endswith(": autocommit")


@pytest.mark.parametrize("url", ["sqlite:///x.db?mode=ro", "sqlite:////a/x?y.db", "sqlite://a/x.db", "sqlite:///a%00b"])
def test_what_an_sqlite_url_would_lose_is_refused(url: str) -> None:
    with pytest.raises(UnsupportedDatabase, match="SQLite"):
        backend_of(url)


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://host/db"]
)
def test_a_url_of_another_database_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(UnsupportedDatabase, match=r"use sqlite:///path/to/file\.db or postgresql\+psycopg://"):
        backend_of(url)
