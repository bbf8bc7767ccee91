"""`serve` without `--workers`: as many processes as the CPUs and the database's connections allow."""

import os
import signal
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from sqlalchemy import create_engine, make_url, text

from service import workers
from service.app import connections_of_a_process
from service.config import LEAST_RECEIVE_BYTES, Settings
from service.runtime import cpus
from tests.cli.conftest import Command, Launch, Server
from tests.cli.test_workers import Caller, calls
from tests.conftest import Tenant
from tests.grpc_server.conftest import eventually

EACH = connections_of_a_process(Settings())


def choice(server: Server) -> dict[str, Any]:
    eventually(lambda: any('"workers chosen"' in line for line in server.log))
    (event,) = [event for event in server.events if event["event"] == "workers chosen"]
    return event


@pytest.fixture
def two_cpus() -> Iterator[None]:
    """Leaves this process, and those that it starts, two CPUs."""
    before = os.sched_getaffinity(0)
    if len(before) < 2 or (cpus.quota() or 2) <= 1:
        pytest.skip("this machine has one CPU")
    os.sched_setaffinity(0, sorted(before)[:2])
    yield
    os.sched_setaffinity(0, before)


def limit_connections(command: Command, count: int) -> None:
    engine = create_engine(command.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {make_url(command.url).database} CONNECTION LIMIT {count}"))
    engine.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.usefixtures("two_cpus")
def test_on_postgresql_a_worker_for_each_cpu_serves(command: Command, launch: Launch) -> None:
    server = launch(command, chooses=True)
    found = choice(server)
    assert (found["workers"], found["decided_by"], found["cpus"]) == (2, "CPUs allowed", 2)
    assert found["connections_of_a_worker"] == EACH
    assert set(server.processes) == {"worker-1", "worker-2"}
    assert server.stop(signal.SIGTERM).code == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.usefixtures("two_cpus")
def test_the_connections_that_the_database_allows_bound_the_workers(command: Command, launch: Launch) -> None:
    limit_connections(command, 2 * EACH - 1)
    server = launch(command, chooses=True)
    found = choice(server)
    assert (found["workers"], found["decided_by"]) == (1, "connections to the database")
    assert found["connections"] == 2 * EACH - 1
    assert server.processes == {}
    assert server.stop(signal.SIGTERM).code == 0
    limit_connections(command, 2 * EACH)
    server = launch(command, chooses=True)
    assert choice(server)["workers"] == 2
    assert server.stop(signal.SIGTERM).code == 0


def test_on_sqlite_one_process_serves(sqlite: Command, launch: Launch) -> None:
    server = launch(sqlite, chooses=True)
    assert (choice(server)["workers"], choice(server)["decided_by"]) == (1, "kind of database")
    assert server.processes == {}
    assert server.stop(signal.SIGTERM).code == 0


def test_an_operator_who_says_how_many_is_obeyed(sqlite: Command, launch: Launch) -> None:
    server = launch(sqlite, "--workers", "2")
    assert set(server.processes) == {"worker-1", "worker-2"}
    assert server.stop(signal.SIGTERM).code == 0
    assert not [event for event in server.events if event["event"] == "workers chosen"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_one_caller_reaches_every_worker_because_connections_end(
    command: Command, launch: Launch, tenant: Tenant
) -> None:
    server = launch(command, "--workers", "2", DEVICE_ASSIGNMENT_CONNECTION_AGE_SECONDS="0.1")
    caller = Caller(server.port)

    def both_have_answered() -> bool:
        caller.assignments.LookupOwners(pb.LookupOwnersRequest(device_identifiers=["A"]), metadata=tenant.metadata)
        return {call["process"] for call in calls(server)} == {"worker-1", "worker-2"}

    eventually(both_have_answered)
    caller.channel.close()
    assert server.stop(signal.SIGTERM).code == 0


# What is not divided: what each worker has of its own, what bounds one thing, and what is the gateway's.
WHOLE = {
    "database_url", "threads", "connection_age_seconds", "message_seconds", "receive_ahead", "cpu_affinity",
    "max_answer_bytes", "stream_seconds", "key_cache_seconds", "request_id_hours", "drain_seconds", "reflection",
    "log_format", "prepared_statements", "traces_endpoint",
}  # fmt: skip


def test_each_worker_gets_its_part_of_the_limits_of_callers() -> None:
    settings = Settings(rate_limit=10, waiting_calls=2_001, connections=4_000, receive_bytes=2**28, streams=101)
    parted = workers.part(settings, 4)
    assert (parted.rate_limit, parted.waiting_calls, parted.connections) == (2.5, 501, 1_000)
    assert (parted.receive_bytes, parted.streams) == (2**26, 26)
    whole = {field.name for field in fields(Settings)} - {"metrics_address"}
    whole = {
        name for name in whole if not name.startswith("rest_") and getattr(parted, name) == getattr(settings, name)
    }
    assert whole == WHOLE
    assert workers.part(settings, 1) == settings
    assert workers.part(Settings(rate_limit=0, waiting_calls=0, receive_bytes=LEAST_RECEIVE_BYTES), 8) == Settings(
        rate_limit=0, waiting_calls=0, receive_bytes=LEAST_RECEIVE_BYTES, connections=500, streams=13
    )
