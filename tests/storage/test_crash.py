"""A crash of PostgreSQL: connections that were open are lost, which is no defect, and work is run again."""

import os
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text

from service.domain.email import Email
from service.domain.interruption import Interruption
from service.storage.database import Database
from service.storage.transaction import Transaction
from tests import postgres
from tests.conftest import new_tenant
from tests.postgres import Own


@pytest.fixture
def own() -> Iterator[Own]:
    """A server that the test may crash."""
    with postgres.own() as started:
        yield started


def crash(own: Own, url: str) -> None:
    """Kills one session, at which PostgreSQL ends all of them with a warning, and waits until it has started anew."""
    plain = url.replace("+psycopg", "")
    with psycopg.connect(plain) as other:
        os.kill(other.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            other.execute("SELECT 1")
    until = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(plain).close()
        except psycopg.OperationalError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            break
    own.server._admin.dispose()


def test_after_a_crash_between_two_transactions_the_work_is_run_again(own: Own) -> None:
    url = own.server.fresh()
    database = Database(url, 1)
    tenant, ada = new_tenant(database), Email.parse("ada@example.com")
    crash(own, url)
    assert database.write(tenant.id, Interruption(), lambda uow: uow.customers.find(email=ada)) is None
    database.close()


def test_a_crash_in_a_transaction_has_the_work_run_again(own: Own) -> None:
    url = own.server.fresh()
    database = Database(url, 1)
    tenant, ada = new_tenant(database), Email.parse("ada@example.com")
    runs = []

    def work(uow: Transaction) -> None:
        uow.customers.find(email=ada)
        runs.append(uow.connection.core.execute(text("SELECT 1")).scalar_one())
        if len(runs) == 1:
            crash(own, url)
        uow.connection.core.execute(text("SELECT 2")).scalar_one()
        uow.customers.find(email=ada)

    database.write(tenant.id, Interruption(), work)
    assert len(runs) == 2
    database.close()
