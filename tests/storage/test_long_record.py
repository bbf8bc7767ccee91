"""An operation that takes long to write changes no answer about a past moment, and keeps nobody waiting in vain."""

import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select, text

from service.domain.cancellation import Cancellation
from service.domain.errors import Cancelled, DeadlineExceeded
from service.domain.import_lines import Line, read_lines
from service.domain.values import Operation
from service.storage import bulk, operations
from service.storage.database import Database
from service.storage.tables import customer, customer_revision, operation
from service.storage.unit_of_work import UnitOfWork
from tests.conftest import HEADER, Tenant

SECOND = timedelta(seconds=1)
CUSTOMERS = 1_500


def customers() -> list[Line]:
    """Lines that give each of many customers a device."""
    rows = [HEADER, *(f"c{number}@example.com,D-{number},lamp" for number in range(CUSTOMERS))]
    return [line for line in read_lines(f"{row}\n" for row in rows) if isinstance(line, Line)]


def slow_down(database: Database) -> None:
    """Has every revision take a millisecond."""
    if database.engine.dialect.name == "sqlite":

        def connected(connection: sqlite3.Connection, _record: Any) -> None:
            connection.create_function("slow", 0, lambda: time.sleep(0.001))

        event.listen(database.engine, "connect", connected)
        database.engine.dispose()
        made = "CREATE TRIGGER slow BEFORE INSERT ON customer_revision BEGIN SELECT slow(); END"
    else:
        body = "BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END"
        made = f"""
            CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS '{body}';
            CREATE TRIGGER slow BEFORE INSERT ON customer_revision FOR EACH ROW EXECUTE FUNCTION slow()"""
    with database.session() as connection:
        connection.execute(text(made))


def changed(database: Database, at: datetime) -> int:
    """How many customers had changed by a moment: what every look at a past moment goes by."""
    with database.session(write=False) as connection:
        by_then = select(func.count()).where(customer_revision.c.occurred_at <= at)
        return int(connection.execute(by_then).scalar_one())


def test_what_was_answered_about_a_moment_a_second_ago_stays_true(database: Database, tenant: Tenant) -> None:
    slow_down(database)
    lines = customers()
    importing = threading.Thread(
        target=bulk.import_lines, args=(database, tenant.id, lines), kwargs={"skip_bad_lines": False}
    )
    importing.start()
    told = []
    while importing.is_alive():
        at = datetime.now(UTC) - SECOND
        told.append((at, changed(database, at)))
        time.sleep(0.05)
    importing.join()
    with database.session(write=False) as connection:
        times = connection.execute(select(operation.c.occurred_at)).scalars().all()
        counts = connection.execute(select(func.count()).select_from(customer_revision)).scalar_one()
    assert len(times) == 1
    assert times[0] <= datetime.now(UTC), "it was told of before its time"
    assert counts == CUSTOMERS
    assert len(told) > 2
    assert [(at, changed(database, at)) for at, _ in told] == told
    assert changed(database, times[0]) == CUSTOMERS


@pytest.mark.parametrize("ends", ["the deadline", "the caller"])
def test_the_wait_for_an_operations_time_ends_with_the_callers_patience(
    database: Database, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    bulk.import_lines(database, tenant.id, customers(), skip_bad_lines=False)
    with database.session(write=False) as connection:
        ids = connection.execute(select(customer.c.id)).scalars().all()
    monkeypatch.setattr(operations, "_LEAD", timedelta(seconds=300))
    written = threading.Event()

    def change(transaction: UnitOfWork) -> None:
        transaction.operations.record(Operation("op_long", "assign", None, "", dict.fromkeys(ids, 0)))
        written.set()

    cancellation = Cancellation(time.monotonic() + 2 if ends == "the deadline" else None)
    if ends == "the caller":

        def leave() -> None:
            written.wait()
            time.sleep(1)
            cancellation.cancel()
            cancellation.stop()

        threading.Thread(target=leave).start()
    with pytest.raises(DeadlineExceeded if ends == "the deadline" else Cancelled):
        database.write(tenant.id, cancellation, change)
    with database.session(write=False) as connection:
        assert "op_long" not in connection.execute(select(operation.c.id)).scalars().all()
        assert connection.execute(select(func.max(customer.c.revision))).scalar_one() == 1
