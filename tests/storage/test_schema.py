"""The state of the tables: made once, checked at every start, and told in a sentence that says what mends it."""

import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, make_url, text

from service.domain.errors import DatabaseUnavailable
from service.storage import schema
from service.storage.database import Database
from service.storage.sqlite import backend as sqlite
from service.storage.tables import metadata
from tests.postgres import Postgres

Make = Callable[[], Database]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Opens a database without tables, as often as asked."""
    opened: list[Database] = []
    postgres: Postgres | None = None
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        postgres = request.getfixturevalue("postgres_server")
        url = postgres.create()

    def make() -> Database:
        opened.append(Database(url))
        return opened[-1]

    yield make
    for database in opened:
        database.close()
    if postgres is not None:
        postgres.drop(url)


def test_an_empty_database_is_upgraded_to_the_tables_of_today(empty: Make) -> None:
    database = empty()
    assert schema.upgrade(database) == ("", schema.head())
    assert schema.check(database) == schema.head()
    assert set(inspect(database.engine).get_table_names()) == {*metadata.tables, "alembic_version"}
    assert schema.drift(database) == []


def test_a_second_upgrade_changes_nothing(empty: Make) -> None:
    database = empty()
    schema.upgrade(database)
    with database.session() as connection:
        connection.execute(
            text("INSERT INTO organization (id, name, created_at) VALUES ('o', 'acme', clock_timestamp())")
        )
    assert schema.upgrade(database) == (schema.head(), schema.head())
    with database.session() as connection:
        assert connection.execute(text("SELECT name FROM organization")).scalars().all() == ["acme"]


def test_two_upgrades_at_once_take_turns(empty: Make) -> None:
    databases = [empty() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(schema.upgrade, databases))
    assert sorted(outcomes) == [("", schema.head())] + [(schema.head(), schema.head())] * 3
    assert schema.check(databases[0]) == schema.head()


@pytest.fixture
def written(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A new SQLite file that somebody is writing to, which has SQLite refuse WAL mode to others without waiting."""
    writer = sqlite3.connect(tmp_path / "empty.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    yield writer
    writer.close()


def test_a_new_sqlite_file_is_waited_for(written: sqlite3.Connection, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    release = threading.Timer(0.3, written.rollback)
    release.start()
    assert schema.upgrade(database) == ("", schema.head())
    with database.session() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
    database.close()
    release.join()


def test_a_new_sqlite_file_is_not_waited_for_without_end(
    written: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_WAIT_SECONDS", 0.2)
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match=r"^the database /.*empty\.db is in use by another process; "):
        schema.upgrade(database)
    assert time.monotonic() - started >= 0.2
    assert written.in_transaction
    database.close()


def test_a_difference_between_the_steps_and_the_tables_is_named(empty: Make) -> None:
    database = empty()
    schema.upgrade(database)
    with database.session() as connection:
        connection.execute(text("DROP INDEX ix_reply_kept_at"))
    assert any("ix_reply_kept_at" in difference for difference in schema.drift(database))


def test_an_empty_database_is_not_served(empty: Make, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(schema.NotCurrent, match=r"^the database is empty; run `device-assignment db upgrade`$"):
        schema.check(empty())


def test_a_step_that_this_version_does_not_know_is_not_served(empty: Make) -> None:
    database = empty()
    schema.upgrade(database)
    with database.session() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(
        schema.NotCurrent, match="the tables have version 9999, which this program does not know; run a"
    ):
        schema.check(database)


def test_an_older_step_is_not_served(empty: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    database = empty()
    schema.upgrade(database)
    monkeypatch.setattr(schema, "head", lambda: "9999")
    with pytest.raises(
        schema.NotCurrent, match="have version 2, but this program needs version 9999; run `device-assignment db up"
    ):
        schema.check(database)


def test_a_missing_sqlite_file_is_named_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "missing.db"
    database = Database(f"sqlite:///{path}")
    with pytest.raises(schema.NotCurrent, match=r"there is no database file .*missing\.db; run .* to make it"):
        schema.check(database)
    database.close()
    assert not path.exists()


def test_an_sqlite_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    database = Database(f"sqlite:///{path}")
    schema.upgrade(database)
    database.close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("This is a text and not a database. " * 100)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(DatabaseUnavailable, match=r"cannot open the database /.*text\.db: file is not a database"):
        schema.check(database)
    database.close()


def test_a_database_that_is_not_utf8_is_not_served(postgres_server: Postgres) -> None:
    url = make_url(postgres_server.create())
    name = f"da_test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(
            text(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        )
    other = url.set(database=name).render_as_string(hide_password=False)
    database = Database(other)
    with pytest.raises(schema.NotCurrent, match="the database's encoding is SQL_ASCII; make one with encoding UTF8"):
        schema.check(database)
    database.close()
    admin.dispose()
    for made in (other, url.render_as_string(hide_password=False)):
        postgres_server.drop(made)


def test_a_database_that_is_not_there_is_told_without_its_password(postgres_server: Postgres) -> None:
    url = make_url(postgres_server.create())
    postgres_server.drop(url.render_as_string(hide_password=False))
    database = Database(url.set(password="hush").render_as_string(hide_password=False))
    for attempt in (schema.check, schema.upgrade):
        with pytest.raises(DatabaseUnavailable, match="cannot open the database da_") as caught:
            attempt(database)
        assert "hush" not in str(caught.value)
    database.close()
