"""`serve --workers`: several processes that look like one."""

import os
import random
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sized
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.storage.database import Database
from tests.cli.conftest import Command, Launch, Server, alive
from tests.conftest import Client, Tenant
from tests.grpc_server.conftest import eventually, held
from tests.grpc_server.test_deadlines import waiting

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNAVAILABLE, ABORTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED


class Caller(Client):
    """A client with a connection of its own, which the system gives to one of the workers."""

    def __init__(self, port: int) -> None:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 100))
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
        self.assignments = DeviceAssignmentServiceStub(self.channel)

    @property
    def health(self) -> Any:
        """A stub of the health service; its published types know no methods."""
        return health_pb2_grpc.HealthStub(self.channel)


def callers_of_all(server: Server, tenant: Tenant) -> dict[str, list[Caller]]:
    """Connects until each worker has two callers."""
    of: dict[str, list[Caller]] = {name: [] for name in server.processes}
    for _ in range(100):
        caller = Caller(server.port)
        done = len(calls(server))
        caller.assignments.LookupOwners(pb.LookupOwnersRequest(device_identifiers=["A"]), metadata=tenant.metadata)
        wait_for_more(lambda: calls(server), done)
        of[calls(server)[-1]["process"]].append(caller)
        if all(len(callers) > 1 for callers in of.values()):
            return of
    pytest.fail(f"one worker gets all connections: {of}")


def wait_for_more(things: Callable[[], Sized], than: int) -> None:
    eventually(lambda: len(things()) > than)


def calls(server: Server) -> list[dict[str, Any]]:
    return [event for event in server.events if event["event"] == "call"]


def starts(server: Server) -> list[dict[str, Any]]:
    return [event for event in server.events if event["event"] == "serving"]


def close(callers: dict[str, list[Caller]]) -> None:
    for caller in chain(*callers.values()):
        caller.channel.close()


# On SQLite nothing tells that a process waits for another, and it waits for five seconds only.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_calls_in_flight_in_every_worker_are_answered_after_sigterm(
    command: Command, launch: Launch, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", map(str, range(100)))
    server = launch(command, "--workers", "2")
    callers = callers_of_all(server, tenant)
    every = list(chain(*callers.values()))
    with held(database, "ada@example.com"):
        answers = [
            caller.assignments.UnassignDevices.future(
                pb.UnassignDevicesRequest(customer_email="ada@example.com", device_identifiers=[str(number)]),
                metadata=tenant.metadata,
            )
            for number, caller in enumerate(every)
        ]
        eventually(lambda: waiting(database) >= min(len(every), 8))
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: len([e for e in server.events if e["event"] == "stopping"]) == 2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None
    assert [list(answer.result().unassigned_devices) for answer in answers] == [[str(n)] for n in range(len(every))]
    assert server.stop(signal.SIGTERM).code == 0
    close(callers)
    assert {event["process"] for event in server.events} == {"supervisor", "worker-1", "worker-2"}
    assert {event["process"] for event in calls(server) if event["method"].endswith("UnassignDevices")} == set(callers)


def test_a_worker_that_is_killed_loses_no_answer_and_comes_back(
    command: Command, launch: Launch, tenant: Tenant, database: Database
) -> None:
    devices = [f"device-{number:04}" for number in range(1_000)]
    tenant.assign("ada@example.com", devices)
    server = launch(command, "--workers", "2")
    answers: dict[str, pb.UnassignDevicesResponse] = {}
    statuses: list[grpc.StatusCode] = []
    over = threading.Event()

    def insist(caller: Caller, wanted: list[str], request_id: str) -> pb.UnassignDevicesResponse:
        while True:
            try:
                return caller.unassign(tenant, "ada@example.com", wanted, request_id=request_id)
            except grpc.RpcError as error:
                statuses.append(error.code())
                time.sleep(0.05)

    def write(shuffled: random.Random) -> None:
        caller = Caller(server.port)
        while not over.is_set():
            request_id, wanted = str(uuid.uuid4()), shuffled.sample(devices, 3)
            answers[request_id] = insist(caller, wanted, request_id)
            assert insist(caller, wanted, request_id) == answers[request_id]
        caller.channel.close()

    with ThreadPoolExecutor(6) as pool:
        writers = [pool.submit(write, random.Random(seed)) for seed in range(6)]  # noqa: S311  # no secret
        try:
            for _ in range(3):
                wait_for_more(lambda: answers, len(answers) + 10)
                served = len(starts(server))
                os.kill(server.processes["worker-1"], signal.SIGKILL)
                wait_for_more(lambda: starts(server), served)
        finally:
            over.set()
        for writer in writers:
            writer.result()
    # With SQLite, other processes' writers have no queue to stand in, and the unlucky are told to come again.
    assert set(statuses) <= {UNAVAILABLE} | ({ABORTED} if database.engine.dialect.name == "sqlite" else set())
    gone = [device for answer in answers.values() for device in answer.unassigned_devices]
    assert len(gone) == len(set(gone))
    client = Caller(server.port)
    assert set(client.devices(tenant, "ada@example.com")) == set(devices) - set(gone)
    client.channel.close()
    assert server.stop(signal.SIGTERM).code == 0


def test_each_worker_tells_the_health_of_all(command: Command, launch: Launch, tenant: Tenant) -> None:
    server = launch(command, "--workers", "2")
    callers = callers_of_all(server, tenant)
    bystander = callers["worker-2"][0]
    watch = bystander.health.Watch(health_pb2.HealthCheckRequest(service="deviceassignment.v1.DeviceService"))
    assert next(watch).status == SERVING
    os.kill(server.processes["worker-1"], signal.SIGKILL)
    assert [next(watch).status, next(watch).status] == [NOT_SERVING, SERVING]
    watch.cancel()
    close(callers)
    assert server.stop(signal.SIGTERM).code == 0


def test_without_their_supervisor_the_workers_end_and_free_the_port(sqlite: Command, launch: Launch) -> None:
    server = launch(sqlite, "--workers", "2")
    pids = list(server.processes.values())
    assert server.stop(signal.SIGKILL).code == -signal.SIGKILL
    eventually(lambda: not any(map(alive, pids)))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))
    assert len([event for event in server.events if event["event"] == "stopped"]) == 2


@pytest.mark.parametrize(("first", "second"), [("2", "2"), ("2", "1"), ("1", "2")])
def test_a_second_server_on_the_port_says_that_it_is_taken(
    sqlite: Command, launch: Launch, first: str, second: str
) -> None:
    address = f"127.0.0.1:{launch(sqlite, *(('--workers', first) if first != '1' else ())).port}"
    answer = sqlite("serve", "--grpc-address", address, "--workers", second)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"error: cannot listen on {address}: Address already in use\n"


def test_what_one_process_would_say_before_it_serves_is_said_once(new: Command) -> None:
    answer = new("serve", "--workers", "2", "--grpc-address", "127.0.0.1:0")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("error: ")
    assert "run `device-assignment db upgrade`" in answer.err
    assert answer.err.count("\n") == 1


def test_no_workers_are_none(plain: Command) -> None:
    answer = plain("serve", "--workers", "0")
    assert answer.code == 2
    assert "--workers" in answer.err


def test_the_example_is_shown_once_when_all_serve(tmp_path: Path, launch: Launch) -> None:
    server = launch(Command(tmp_path, f"sqlite:///{tmp_path / 'new.db'}"), "--example", "--workers", "2")
    ended = server.stop(signal.SIGTERM)
    assert ended.code == 0
    assert ended.out.count("Paste this into another terminal") == 1
    assert f"http://127.0.0.1:{server.port}/" in ended.out
    assert "da_" not in ended.err
