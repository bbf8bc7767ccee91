"""The version of the tables: made once, checked at every start, and reported in one sentence that says what to do."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from service.storage import schema
from service.storage.database import Database
from service.storage.tables import metadata
from tests.databases import KINDS

Make = Callable[[], Database]


@pytest.fixture(params=KINDS)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Opens a database without tables, as often as asked."""
    opened: list[Database] = []
    with KINDS[request.param].empty(request, tmp_path) as url:

        def make() -> Database:
            opened.append(Database(url))
            return opened[-1]

        yield make
        for database in opened:
            database.close()


def test_an_empty_database_is_upgraded_to_the_newest_tables(empty: Make) -> None:
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


def test_upgrades_at_once_run_one_after_the_other(empty: Make) -> None:
    databases = [empty() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(schema.upgrade, databases))
    assert sorted(outcomes) == [("", schema.head())] + [(schema.head(), schema.head())] * 3
    assert schema.check(databases[0]) == schema.head()


def test_a_difference_between_the_steps_and_the_tables_is_named(empty: Make) -> None:
    database = empty()
    schema.upgrade(database)
    with database.session() as connection:
        connection.execute(text("DROP INDEX ix_reply_kept_at"))
    assert any("ix_reply_kept_at" in difference for difference in schema.drift(database))


def test_an_empty_database_is_not_served(empty: Make) -> None:
    database = empty()
    database.backend.create_file()
    with pytest.raises(schema.NotCurrent, match=r"^the database is empty; run `device-assignment db upgrade`$"):
        schema.check(database)


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
        schema.NotCurrent, match="have version 3, but this program needs version 9999; run `device-assignment db up"
    ):
        schema.check(database)


@pytest.mark.parametrize("step", ["0001", "0002"])
def test_tables_of_a_development_version_are_refused_with_what_to_do(empty: Make, step: str) -> None:
    database = empty()
    schema.upgrade(database)
    with database.session() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{step}'"))
    for use in (schema.check, schema.upgrade):
        with pytest.raises(schema.NotCurrent, match=r"made by a development version before 1\.0 .* import the file$"):
            use(database)
