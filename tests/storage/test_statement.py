"""Statements: compiled once for each database, with converters for parameters and columns by name and by position."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Dialect, bindparam, func, literal, select, text

from service.domain.cancellation import Cancellation
from service.storage.backend import View
from service.storage.connection import Connection
from service.storage.database import Database
from service.storage.postgresql.backend import PostgreSQL
from service.storage.sqlite.backend import SQLite
from service.storage.statement import Statement
from service.storage.tables import api_key, customer
from service.storage.types import Instant, TextArray, among

POSTGRESQL, SQLITE = PostgreSQL.sqlalchemy_dialect, SQLite.sqlalchemy_dialect
TIME = datetime(2024, 2, 29, 12, 30, 15, 123_456, UTC)
MICROSECONDS = (TIME - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_parameters_are_numbered_in_the_order_of_their_first_use_on_postgresql() -> None:
    compiled = Statement(text("SELECT :b, :a, :b, :c")).compiled(POSTGRESQL)
    assert compiled.sql == "SELECT $1, $2, $1, $3"
    assert compiled.names == ("b", "a", "c")


def test_parameters_keep_their_names_on_sqlite() -> None:
    compiled = Statement(text("SELECT :b, :a, :b")).compiled(SQLITE)
    assert compiled.sql == "SELECT :b, :a, :b"
    assert compiled.names == ()


def test_a_statement_is_compiled_once_for_each_database() -> None:
    statement = Statement(select(customer.c.id))
    assert statement.compiled(POSTGRESQL) is statement.compiled(POSTGRESQL)
    assert statement.compiled(SQLITE) is statement.compiled(SQLITE)
    assert statement.compiled(SQLITE) is not statement.compiled(POSTGRESQL)


@pytest.mark.parametrize("dialect", [POSTGRESQL, SQLITE], ids=["postgresql", "sqlite"])
def test_values_in_the_statement_are_bound_without_being_given(dialect: Dialect) -> None:
    statement = Statement(select(customer.c.id).where(customer.c.name == bindparam("name"), customer.c.revision > 7))
    compiled = statement.compiled(dialect)
    assert list(compiled.fixed.values()) == [7]
    assert compiled.bound({"name": "x"}) == {**compiled.fixed, "name": "x"}


def test_a_parameter_that_was_not_given_is_an_error() -> None:
    compiled = Statement(select(customer.c.id).where(customer.c.created_at < bindparam("at"))).compiled(SQLITE)
    with pytest.raises(KeyError, match="at"):
        compiled.bound({})


def test_bind_processors_convert_parameters_where_the_driver_does_not() -> None:
    clause = select(customer.c.id).where(
        among(customer.c.id, bindparam("ids", type_=TextArray)), customer.c.created_at < bindparam("at")
    )
    given = {"ids": ["a", 'b"'], "at": TIME}
    assert Statement(clause).compiled(SQLITE).bound(given) == {"ids": '["a", "b\\""]', "at": MICROSECONDS}
    assert Statement(clause).compiled(POSTGRESQL).bound(given) == given
    assert given == {"ids": ["a", 'b"'], "at": TIME}


def test_result_processors_convert_columns_by_their_position() -> None:
    clause = select(customer.c.id, customer.c.created_at, customer.c.revision, customer.c.changed_at)
    rows = [("a", MICROSECONDS, 1, 0), ("b", MICROSECONDS + 1, 2, 1)]
    compiled = Statement(clause).compiled(SQLITE)
    assert [position for position, _ in compiled.result_processors] == [1, 3]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    microsecond = timedelta(microseconds=1)
    assert compiled.read(rows) == [("a", TIME, 1, epoch), ("b", TIME + microsecond, 2, epoch + microsecond)]


def test_null_stays_none() -> None:
    compiled = Statement(select(api_key.c.expires_at)).compiled(SQLITE)
    assert compiled.read([(None,)]) == [(None,)]


def test_rows_that_need_no_converter_are_returned_as_they_are() -> None:
    rows = [("a",)]
    assert Statement(select(customer.c.id)).compiled(SQLITE).read(rows) is rows
    assert Statement(select(customer.c.created_at)).compiled(POSTGRESQL).read(rows) is rows
    assert Statement(text("SELECT created_at FROM customer")).compiled(SQLITE).read(rows) is rows


def test_a_list_is_one_parameter_in_each_databases_own_form() -> None:
    clause = select(customer.c.id).where(among(customer.c.id, bindparam("ids", type_=TextArray)))
    assert Statement(clause).compiled(POSTGRESQL).sql.endswith("customer.id = ANY ($1::TEXT[])")
    assert Statement(clause).compiled(SQLITE).sql.endswith("customer.id IN (SELECT value FROM json_each(:ids))")


def test_the_database_runs_what_was_compiled(database: Database) -> None:
    statement = Statement(
        select(
            literal("fixed").label("fixed"),
            bindparam("at", type_=Instant).label("at"),
            among(bindparam("wanted"), bindparam("ids", type_=TextArray)).label("found"),
            func.count().label("count"),
        )
    )
    pooled = database.engine.raw_connection()
    database.backend.begin(pooled, Cancellation(), View.SNAPSHOT)
    connection = Connection(database.engine, pooled, database.backend)
    for wanted, ids in (("a", ["a", "b"]), ("c", ["a"]), ("c", []), ("é", ["é", '"', "\\"])):
        rows = connection.rows(statement, {"at": TIME, "wanted": wanted, "ids": ids})
        assert rows == [("fixed", TIME, wanted in ids, 1)]
    connection.close()
