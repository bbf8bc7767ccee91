"""A COMMIT that has been sent: nothing of ours cancels it, and what PostgreSQL does not confirm is never answered OK.

The server waits for a synchronous standby that does not exist, so every COMMIT of a write hangs until a test ends that.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import grpc
import pytest
from sqlalchemy import Engine, create_engine, text

from service.domain.email import Email
from service.domain.errors import OutcomeUnknown
from service.domain.import_lines import Line
from service.storage import bulk
from service.storage.database import Database
from service.storage.organizations import Organizations
from service.storage.postgresql.backend import PostgreSQL
from tests import postgres
from tests.conftest import Tenant, failure
from tests.grpc_server.conftest import Run, Running, code_of, eventually
from tests.postgres import Own
from tests.storage.history import replayed

ADA = "ada@example.com"
# How long something that must not happen is waited for.
_WATCHED_SECONDS = 1.0


@pytest.fixture(scope="module")
def own() -> Iterator[Own]:
    """A server that nobody else uses, because its commits are made to hang."""
    with postgres.own() as started:
        yield started


@pytest.fixture
def database_url(own: Own) -> Iterator[str]:
    """A database on that server."""
    url = own.server.fresh()
    yield url
    own.server.drop(url)


@dataclass
class Standby:
    """The standby that every commit can be made to wait for.

    Attributes:
        operator: connections of an operator's, who waits for no standby.
        own: the server, and its log.
        cancels: when PostgreSQL was asked to cancel a statement.
    """

    operator: Engine
    own: Own
    cancels: list[float] = field(default_factory=list)

    def ask(self, statement: str, **parameters: Any) -> list[Any]:
        """Runs a statement of the operator's."""
        with self.operator.connect() as connection:
            found = connection.execute(text(statement), parameters)
            return list(found.scalars()) if found.returns_rows else []

    @contextmanager
    def required(self) -> Iterator[None]:
        """Has every commit wait for it, for as long as a block runs."""
        self.require("nobody")
        try:
            yield
        finally:
            self.require("")

    def require(self, name: str) -> None:
        """Has every commit wait for the standby of a name; none, if that is empty."""
        self.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        self.ask("SELECT pg_reload_conf()")
        eventually(lambda: self.ask("SHOW synchronous_standby_names") == [name])

    def waiting(self) -> list[int]:
        """Finds the processes of PostgreSQL whose COMMIT waits for it."""
        return self.ask(
            "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()"
        )

    def hanging(self, running: Running, tenant: Tenant, **options: Any) -> Any:
        """Begins a call and waits until its COMMIT hangs."""
        call = running.unassigning(tenant, ADA, ["A"], **options)
        eventually(lambda: running.calls == 1 and len(self.waiting()) == 1)
        return call


@pytest.fixture
def standby(database_url: str, own: Own, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standby]:
    """The standby, and a look at what is cancelled."""
    options = {"options": "-c synchronous_commit=local"}
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT", connect_args=options)
    made = Standby(engine, own)
    stop = PostgreSQL.stop

    def noting(self: PostgreSQL, pooled: Any) -> None:
        made.cancels.append(time.monotonic())
        stop(self, pooled)

    monkeypatch.setattr(PostgreSQL, "stop", noting)
    yield made
    engine.dispose()


@pytest.mark.parametrize("patience", ["cancelled", "deadline"])
def test_a_commit_that_has_been_sent_is_left_alone_when_the_caller_goes_away(
    run: Run, tenant: Tenant, database: Database, standby: Standby, patience: str
) -> None:
    tenant.assign(ADA, ["A", "B"])
    running = run()
    request_id = str(uuid4())
    with standby.required():
        call = standby.hanging(running, tenant, request_id=request_id, timeout=3 if patience == "deadline" else None)
        if patience == "cancelled":
            call.cancel()
        else:
            assert code_of(call.result) is grpc.StatusCode.DEADLINE_EXCEEDED
        admission = running.service._server.reception._admission
        eventually(lambda: admission._open_calls == 0)
        watched = time.monotonic() + _WATCHED_SECONDS
        while time.monotonic() < watched:
            assert len(standby.waiting()) == 1
            time.sleep(0.05)
        assert standby.cancels == []
        assert "canceling" not in standby.own.log.read_text()
        assert running.calls == 1  # the thread waits for the end of the commit
        # What is not confirmed is not to be seen yet.
        assert running.client.devices(tenant, ADA) == ["A", "B"]
    eventually(lambda: running.calls == 0)
    again = running.client.unassign(tenant, ADA, ["A"], request_id=request_id)
    assert list(again.unassigned_devices) == ["A"]
    assert len(replayed(database, tenant.id).operations) == 2


@pytest.mark.parametrize("messages", ["notice", "error"])
@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_commit_that_an_operator_ends_is_an_unknown_outcome_and_a_repeat_waits_until_it_is_known(
    run: Run, tenant: Tenant, standby: Standby, how: str, messages: str
) -> None:
    tenant.assign(ADA, ["A", "B"])
    standby.ask(f"ALTER DATABASE {standby.operator.url.database} SET client_min_messages = {messages}")
    running = run()
    request_id = str(uuid4())
    with standby.required():
        call = standby.hanging(running, tenant, request_id=request_id)
        assert standby.ask(f"SELECT {how}(:pid)", pid=standby.waiting()[0]) == [True]
        failed = failure(call.result)
        assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_OUTCOME_UNKNOWN")
        assert "request_id" in failed.text
        assert failed.retry_seconds
        # The database has it, but a standby that takes over now would not: so a repeat is not answered either.
        again = standby.hanging(running, tenant, request_id=request_id)
        assert not again.done()
    assert list(again.result(timeout=60).unassigned_devices) == ["A"]
    assert len(replayed(tenant.database, tenant.id).operations) == 2


def test_a_command_whose_commit_is_not_confirmed_says_what_to_do(tenant: Tenant, standby: Standby) -> None:
    line = Line(2, Email.parse(ADA), "A", "lamp")
    works: dict[str, Callable[[Database], object]] = {
        "look whether": lambda other: Organizations(other).create("new"),
        "import the file again": lambda other: bulk.import_lines(other, tenant.id, [line], skip_bad_lines=False),
    }
    for words, work in works.items():
        other = Database(tenant.database.url)
        with standby.required(), ThreadPoolExecutor(1) as pool:
            outcome = pool.submit(work, other)
            eventually(lambda: len(standby.waiting()) == 1)
            standby.ask("SELECT pg_cancel_backend(:pid)", pid=standby.waiting()[0])
            with pytest.raises(OutcomeUnknown, match=words):
                outcome.result(timeout=60)
        other.close()


def test_a_server_whose_commit_hangs_stops_in_time(run: Run, tenant: Tenant, standby: Standby) -> None:
    tenant.assign(ADA, ["A"])
    running = run(drain_seconds=1)
    with standby.required():
        standby.hanging(running, tenant)
        began = time.monotonic()
        assert running.stop() is False
        assert time.monotonic() - began < 60
