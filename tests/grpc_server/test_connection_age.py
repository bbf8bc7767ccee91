"""Connections end at an age, and their callers see nothing of it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from tests.conftest import Tenant
from tests.grpc_server.conftest import Run, Running, eventually, held

_ESTABLISHED = "01"
_RENEWED = 4


def ports_to(port: int) -> set[int]:
    """Returns the local ports of this process's system that are connected to a port."""
    lines = [line.split() for file in ("tcp", "tcp6") for line in Path("/proc/net", file).read_text().splitlines()[1:]]
    found = [(line[1], line[2]) for line in lines if line[3] == _ESTABLISHED]
    return {int(here.split(":")[1], 16) for here, there in found if int(there.split(":")[1], 16) == port}


class Connections:
    """Watches which connections there are to a server."""

    def __init__(self, running: Running) -> None:
        self._port = running.port
        self.seen: set[int] = set()

    def renewed(self) -> bool:
        """Looks, and returns whether there have been several, one after the other."""
        self.seen |= ports_to(self._port)
        return len(self.seen) > _RENEWED


@pytest.fixture
def running(run: Run) -> Running:
    """A server whose connections live for a fifth of a second."""
    if not Path("/proc/net/tcp").exists():
        pytest.skip("this system has no /proc/net/tcp")
    return run(connection_age_seconds=0.2, stream_seconds=3.0)


def test_calls_over_several_ages_of_a_connection_all_succeed(running: Running, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    connections, over = Connections(running), threading.Event()

    def insist() -> int:
        made = 0
        while not over.is_set():
            request = pb.LookupOwnersRequest(device_identifiers=["A"])
            answer = running.client.assignments.LookupOwners(request, metadata=tenant.metadata)
            assert answer.results[0].found
            made += 1
        return made

    with ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(insist) for _ in range(4)]
        try:
            eventually(connections.renewed)
        finally:
            over.set()
        assert all(caller.result() for caller in callers)


def test_a_call_that_takes_longer_than_the_age_is_answered(
    running: Running, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A"])
    with held(database, "ada@example.com"):
        answer = running.unassigning(tenant, "ada@example.com", ["A"], timeout=120)
        connections = Connections(running)

        def look_up() -> bool:
            request = pb.LookupOwnersRequest(device_identifiers=["A"])
            running.client.assignments.LookupOwners(request, metadata=tenant.metadata)
            return connections.renewed()

        eventually(look_up)
        assert not answer.done()
    assert list(answer.result().unassigned_devices) == ["A"]


def test_a_watch_that_is_resumed_misses_nothing_while_connections_end(running: Running, tenant: Tenant) -> None:
    wanted = [f"device-{number:03}" for number in range(200)]
    seen: list[str] = []
    endings: list[grpc.StatusCode] = []
    connections = Connections(running)

    def watch() -> None:
        token = ""
        while len(seen) < len(wanted):
            request = pb.WatchOperationsRequest(after=token)
            stream: Any = running.client.assignments.WatchOperations(request, metadata=tenant.metadata)
            try:
                for event in stream:
                    seen.append(event.operation.note)
                    token = event.resume_token
                    if len(seen) == len(wanted):
                        stream.cancel()
                        return
            except grpc.RpcError as error:
                endings.append(error.code())

    with ThreadPoolExecutor(1) as pool:
        watcher = pool.submit(watch)
        for name in wanted:
            request = pb.AssignDevicesRequest(
                customer_email="ada@example.com",
                device_identifiers=[name],
                auto_create_devices=True,
                device_type="lamp",
                note=name,
            )
            running.client.assignments.AssignDevices(request, metadata=tenant.metadata)
            connections.renewed()
        eventually(connections.renewed)
        watcher.result(120)
    assert seen == wanted
    assert endings == []
