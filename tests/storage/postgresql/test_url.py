"""URLs: each parameter of libpq is kept, and what cannot be kept is refused."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text

from service.domain.errors import DatabaseUnavailable
from service.storage import schema
from service.storage.database import Database
from service.storage.database_url import UnsupportedDatabase
from service.storage.postgresql import url as urls
from tests.conftest import new_tenant
from tests.postgres import Postgres


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes libpq's variables away."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
@pytest.mark.parametrize(
    ("rest", "kept"),
    [
        ("me:hunter2@h:7/d", {"user": "me", "password": "hunter2", "host": "h", "port": "7", "dbname": "d"}),
        ("me@server:hunter2@h/d", {"user": "me@server", "password": "hunter2"}),
        ("me:hunt%40er%2F2@h/d", {"password": "hunt@er/2"}),
        ("me:hunt+er:2@h/d", {"password": "hunt+er:2"}),
        ("h/d?options=-csearch_path%3Dtenant1", {"options": "-csearch_path=tenant1"}),
        ("h/d?application_name=fleet", {"application_name": "fleet"}),
        ("h/d?connect_timeout=9&tcp_user_timeout=7", {"connect_timeout": "9", "tcp_user_timeout": "7"}),
        ("h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem", {"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"}),
        ("h/d?ssl=true", {"sslmode": "require"}),
        ("a,b/d?target_session_attrs=read-write", {"host": "a,b", "target_session_attrs": "read-write"}),
        ("a:1,b:2/d", {"host": "a,b", "port": "1,2"}),
        ("/d?host=a:1&host=b:2", {"host": "a,b", "port": "1,2"}),
        ("/d?host=a&host=b", {"host": "a,b"}),
        ("/d?host=/run/pg&port=7", {"host": "/run/pg", "port": "7"}),
        ("%2Frun%2Fpg/d", {"host": "/run/pg", "dbname": "d"}),
        ("[::1]:7/d", {"host": "::1", "port": "7"}),
        ("h/d?passfile=/etc/pgpass", {"passfile": "/etc/pgpass"}),
        ("?service=fleet", {"service": "fleet"}),
        ("h/d?client_encoding=utf8", {"client_encoding": "utf8"}),
        ("", {}),
    ],
)
def test_what_a_url_says_is_kept(scheme: str, rest: str, kept: dict[str, str]) -> None:
    found = urls.parameters(f"{scheme}://{rest}")
    assert {name: found[name] for name in kept} == kept


def test_defaults_stand_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = {"connect_timeout": "5", "tcp_user_timeout": "15000"}
    always = {"fallback_application_name": "device-assignment", "client_encoding": "utf8"}
    assert urls.parameters("postgresql://") == {**defaults, **always}
    # Of a service's file only libpq knows what it says, and a parameter would count more.
    assert urls.parameters("postgresql://?service=fleet") == {"service": "fleet", **always}
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "9")
    assert "connect_timeout" not in urls.parameters("postgresql://")
    monkeypatch.setenv("PGSERVICE", "not there")
    assert urls.parameters("postgresql://").keys() >= always.keys()


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("client_encoding=latin1", "must not set client_encoding: the service always uses UTF8"),
        ("replication=database", "must not set replication: the service needs an ordinary connection"),
        ("sslmode=require&sslmode=disable", "has an option more than once: sslmode"),
        ("sslmode", "cannot be read"),
        ("sslmode=%zz", "cannot be read"),
        ("ssl=false", "cannot be read"),
        ("port=x", "hosts and ports of the database URL cannot be read"),
        ("port=70000", "hosts and ports of the database URL cannot be read"),
        ("pool_mode=transaction", "does not know: pool_mode"),
    ],
)
def test_what_cannot_be_kept_is_refused(query: str, problem: str) -> None:
    with pytest.raises(UnsupportedDatabase, match=problem):
        urls.parameters(f"postgresql://h/d?{query}")


@pytest.fixture
def url(postgres_server: Postgres) -> Iterator[str]:
    """The URL of an empty database, with the user's name and the socket or the host."""
    made = postgres_server.create()
    yield made
    postgres_server.drop(made)


def asked(url: str, question: str) -> str:
    """Asks a database, in a transaction of the service's."""
    database = Database(url, 1)
    try:
        with database.session(write=False) as connection:
            answer: str = connection.execute(text(question)).scalar_one()
            return answer
    finally:
        database.close()


def added(url: str, option: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{option}"


@pytest.mark.postgresql
def test_the_session_has_what_the_url_and_the_variables_say(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "SELECT current_setting('application_name')"
    assert asked(url, name) == "device-assignment"
    monkeypatch.setenv("PGAPPNAME", "by variable")
    assert asked(url, name) == "by variable"
    assert asked(added(url, "application_name=fleet"), name) == "fleet"
    assert asked(added(url, "options=-cwork_mem%3D7MB"), "SELECT current_setting('work_mem')") == "7MB"
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=9MB")
    assert asked(url, "SELECT current_setting('work_mem')") == "9MB"


@pytest.mark.postgresql
def test_the_whole_url_may_stand_in_libpqs_variables_or_in_a_service(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = make_url(url)
    where = {
        "host": str(given.query.get("host") or given.host),
        "port": str(given.port or 5432),
        "dbname": str(given.database),
        "user": str(given.username),
        "password": str(given.password or "not asked for"),
    }
    name = "SELECT current_database()"
    with monkeypatch.context() as patch:
        for parameter, value in where.items():
            patch.setenv({"dbname": "PGDATABASE"}.get(parameter, f"PG{parameter.upper()}"), value)
        assert asked("postgres://", name) == given.database
    file = tmp_path / "pg_service.conf"
    file.write_text("[fleet]\n" + "".join(f"{parameter}={value}\n" for parameter, value in where.items()))
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    assert asked("postgresql://?service=fleet", name) == given.database
    monkeypatch.setenv("PGSERVICE", "fleet")
    assert asked("postgresql://", name) == given.database
    database = Database("postgresql://?service=missing", 1)
    with pytest.raises(DatabaseUnavailable, match=r'of the service missing: .*service "missing" not found'):
        schema.check(database)
    database.close()


@pytest.mark.postgresql
def test_everything_is_made_in_the_schema_of_the_search_path(url: str) -> None:
    plain = url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA tenant1")
        connection.execute("CREATE SCHEMA tenant2")
    for tenant in ("tenant1", "tenant2"):
        database = Database(added(url, f"options=-csearch_path%3D{tenant}"))
        assert schema.upgrade(database) == ("", schema.head())
        assert schema.check(database) == schema.head()
        new_tenant(database)
        database.close()
    with psycopg.connect(plain) as connection:
        found = connection.execute("SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname !~ '^pg_|^inf'")
        assert {row[0] for row in found} == {"tenant1", "tenant2"}
    outside = Database(url)
    with pytest.raises(schema.NotCurrent, match="the database is empty"):
        schema.check(outside)
    outside.close()
