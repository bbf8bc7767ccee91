"""An operation that takes long to write changes no answer about the past, and ends with the caller's deadline."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from service.domain.cancellation import Cancellation
from service.domain.errors import Cancelled, DeadlineExceeded
from service.domain.import_lines import Line, read_lines
from service.domain.values import Operation
from service.storage import bulk, operations
from service.storage.database import Database
from service.storage.tables import customer, customer_revision, operation
from service.storage.unit_of_work import UnitOfWork
from tests.conftest import HEADER, Tenant
from tests.databases import kind_of

SECOND = timedelta(seconds=1)
CUSTOMERS = 1_500


def customers() -> list[Line]:
    """Makes lines that assign a device to each of many customers."""
    rows = [HEADER, *(f"c{number}@example.com,D-{number},lamp" for number in range(CUSTOMERS))]
    return [line for line in read_lines(f"{row}\n" for row in rows) if isinstance(line, Line)]


def changed(database: Database, at: datetime) -> int:
    """Returns how many customers had changed by a time, on which every answer about the past depends."""
    with database.session(write=False) as connection:
        by_then = select(func.count()).where(customer_revision.c.occurred_at <= at)
        return int(connection.execute(by_then).scalar_one())


def test_an_answer_about_a_time_one_second_ago_stays_true(database: Database, tenant: Tenant) -> None:
    kind_of(database).slow_down(database)
    lines = customers()
    importing = threading.Thread(
        target=bulk.import_lines, args=(database, tenant.id, lines), kwargs={"skip_bad_lines": False}
    )
    importing.start()
    answers = []
    while importing.is_alive():
        at = datetime.now(UTC) - SECOND
        answers.append((at, changed(database, at)))
        time.sleep(0.05)
    importing.join()
    with database.session(write=False) as connection:
        times = connection.execute(select(operation.c.occurred_at)).scalars().all()
        counts = connection.execute(select(func.count()).select_from(customer_revision)).scalar_one()
    assert len(times) == 1
    assert times[0] <= datetime.now(UTC), "it was committed before its time"
    assert counts == CUSTOMERS
    assert len(answers) > 2
    assert [(at, changed(database, at)) for at, _ in answers] == answers
    assert changed(database, times[0]) == CUSTOMERS


@pytest.mark.parametrize("ends", ["the deadline", "the caller"])
def test_the_wait_for_an_operations_time_ends_with_the_call(
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
