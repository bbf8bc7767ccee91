"""Databases of PostgreSQL that are missing or cannot store every text."""

import uuid

import pytest
from sqlalchemy import create_engine, inspect, make_url, text

from service.domain.errors import DatabaseUnavailable
from service.storage import schema
from service.storage.database import Database
from service.storage.postgresql import administration
from tests.postgres import Postgres

pytestmark = pytest.mark.postgresql


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
    for attempt in (schema.check, schema.upgrade):
        with pytest.raises(
            schema.NotCurrent, match="the database's encoding is SQL_ASCII; make one with encoding UTF8"
        ):
            attempt(database)
    assert inspect(database.engine).get_table_names() == []
    database.close()
    admin.dispose()
    for made in (other, url.render_as_string(hide_password=False)):
        postgres_server.drop(made)


def test_a_server_that_is_too_old_is_refused(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres_server.create()
    monkeypatch.setattr(administration, "OLDEST", 99)
    database = Database(url)
    for attempt in (schema.check, schema.upgrade):
        with pytest.raises(schema.NotCurrent, match=r"the database is PostgreSQL .*, which is too old; use version 99"):
            attempt(database)
    assert inspect(database.engine).get_table_names() == []
    database.close()
    postgres_server.drop(url)


def test_a_missing_database_is_reported_without_its_password(postgres_server: Postgres) -> None:
    url = make_url(postgres_server.create())
    postgres_server.drop(url.render_as_string(hide_password=False))
    database = Database(url.set(password="hush").render_as_string(hide_password=False))
    for attempt in (schema.check, schema.upgrade):
        with pytest.raises(DatabaseUnavailable, match="cannot open the database da_") as caught:
            attempt(database)
        assert "hush" not in str(caught.value)
    database.close()
