"""A crash of PostgreSQL: open connections are lost, which is no defect, and work is run again."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text

from service.domain.cancellation import Cancellation
from service.domain.email import Email
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


def crash(own: Own, url: str, session: int) -> None:
    """Kills another session, after which PostgreSQL ends all sessions with a warning, and waits for its restart.

    Args:
        own: the server.
        url: a database of it.
        session: the process whose end is waited for first.
    """
    plain = url.replace("+psycopg", "")
    with psycopg.connect(plain) as other:
        os.kill(other.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            other.execute("SELECT 1")
    until = time.monotonic() + 60
    while Path(f"/proc/{session}").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    while True:
        try:
            psycopg.connect(plain).close()
        except psycopg.OperationalError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            break
    own.server._admin.dispose()


@pytest.fixture
def database(own: Own) -> Iterator[Database]:
    """A database with a single connection, which is open."""
    opened = Database(own.server.fresh(), 1)
    yield opened
    opened.close()


def session_of(connection: Connection) -> int:
    """Returns the process id of the session."""
    found: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return found


def test_after_a_crash_between_two_transactions_the_work_is_run_again(own: Own, database: Database) -> None:
    tenant, ada = new_tenant(database), Email.parse("ada@example.com")
    with database.session() as connection:
        session = session_of(connection)
    crash(own, database.url, session)
    assert database.write(tenant.id, Cancellation(), lambda uow: uow.customers.find(email=ada)) is None


def test_a_crash_in_a_transaction_has_the_work_run_again(own: Own, database: Database) -> None:
    tenant, ada = new_tenant(database), Email.parse("ada@example.com")
    sessions = []

    def work(uow: Transaction) -> None:
        uow.customers.find(email=ada)
        sessions.append(session_of(uow.connection.core))
        if len(sessions) == 1:
            crash(own, database.url, sessions[0])
        session_of(uow.connection.core)
        uow.customers.find(email=ada)

    database.write(tenant.id, Cancellation(), work)
    assert len(set(sessions)) == 2
