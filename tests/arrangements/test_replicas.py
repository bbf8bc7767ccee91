"""Two servers over one database behind HAProxy: keys, repeats, watches and a rolling restart."""

import json
import signal
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub

from service.storage.keys import Keys
from tests.arrangements import haproxy
from tests.cli.conftest import Command, Launch, Server, launch
from tests.conftest import Tenant
from tests.grpc_server.conftest import eventually

__all__ = ["launch"]

pytestmark = [pytest.mark.process, pytest.mark.postgresql]

POLICY = Path(__file__).parents[2] / "clients" / "service_config.with_request_id.json"
EMAIL = "ada@example.com"
CALLERS = 4


@dataclass
class Replicas:
    """Two servers, what starts them, and the port of the balancer before them."""

    command: Command
    launch: Launch
    servers: list[Server]
    port: int

    def restart(self, number: int) -> None:
        """Stops a server as a deployment does, and starts it again."""
        server = self.servers[number]
        assert server.stop(signal.SIGTERM).code == 0
        self.servers[number] = self.launch(self.command, "--grpc-address", f"127.0.0.1:{server.port}")


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh database of PostgreSQL."""
    server = request.getfixturevalue("postgres_server")
    url: str = server.fresh()
    yield url
    server.drop(url)


@pytest.fixture
def replicas(database_url: str, launch: Launch, tmp_path: Path) -> Iterator[Replicas]:
    """Two servers behind a balancer."""
    command = Command(tmp_path, database_url)
    servers = [launch(command, "--grpc-address", "127.0.0.1:0") for _ in range(2)]
    with haproxy.balancing(tmp_path, [server.port for server in servers]) as port:
        yield Replicas(command, launch, servers, port)


def channel(port: int) -> grpc.Channel:
    """Opens a channel with the published policy."""
    options = [("grpc.service_config", POLICY.read_text()), ("grpc.use_local_subchannel_pool", 1)]
    assert json.loads(POLICY.read_text())
    return grpc.insecure_channel(f"127.0.0.1:{port}", options)


@pytest.fixture
def calls(replicas: Replicas) -> Iterator[DeviceAssignmentServiceStub]:
    """A client of the balancer."""
    with channel(replicas.port) as opened:
        yield DeviceAssignmentServiceStub(opened)


def assignment(device: str, request_id: str = "") -> pb.AssignDevicesRequest:
    return pb.AssignDevicesRequest(
        customer_email=EMAIL,
        device_identifiers=[device],
        auto_create_devices=True,
        device_type="lamp",
        request_id=request_id or str(uuid.uuid4()),
    )


def test_a_repeat_at_either_server_gets_the_first_answer(
    calls: DeviceAssignmentServiceStub, replicas: Replicas, tenant: Tenant
) -> None:
    request = assignment("A", str(uuid.uuid4()))
    first = calls.AssignDevices(request, metadata=tenant.metadata).SerializeToString()
    for server in replicas.servers:
        with channel(server.port) as direct:
            stub = DeviceAssignmentServiceStub(direct)
            assert stub.AssignDevices(request, metadata=tenant.metadata).SerializeToString() == first
    assert {calls.AssignDevices(request, metadata=tenant.metadata).SerializeToString() for _ in range(4)} == {first}


def test_a_key_is_made_and_revoked_for_both_servers(calls: DeviceAssignmentServiceStub, tenant: Tenant) -> None:
    def refused() -> int:
        codes = []
        for _ in range(4):
            try:
                calls.LookupOwners(pb.LookupOwnersRequest(device_identifiers=["A"]), metadata=tenant.metadata)
            except grpc.RpcError as error:
                codes.append(error.code())
        assert set(codes) <= {grpc.StatusCode.UNAUTHENTICATED}
        return len(codes)

    assert refused() == 0
    assert Keys(tenant.database).revoke(tenant.key_id)
    eventually(lambda: refused() == 4)


def test_a_rolling_restart_fails_no_call_and_a_watch_misses_nothing(
    calls: DeviceAssignmentServiceStub, replicas: Replicas, tenant: Tenant
) -> None:
    stop = threading.Event()
    answered = [0] * CALLERS
    seen: list[str] = []

    def call(caller: int) -> set[str]:
        devices = set()
        while not stop.is_set():
            device = f"SN-{caller}-{answered[caller]}"
            done = calls.AssignDevices(assignment(device), metadata=tenant.metadata)
            assert not done.already_assigned
            devices.add(device)
            found = calls.LookupOwners(pb.LookupOwnersRequest(device_identifiers=[device]), metadata=tenant.metadata)
            assert [owner.email for owner in found.results[0].owners] == [EMAIL]
            answered[caller] += 1
        return devices

    def watch() -> None:
        after = ""
        while not stop.is_set():
            request = pb.WatchOperationsRequest(after=after)
            try:
                for event in calls.WatchOperations(request, metadata=tenant.metadata, timeout=5):
                    seen.append(event.operation.operation_id)
                    after = event.resume_token
            except grpc.RpcError as error:
                # A stream ends with its server, or at its time; its client goes on with the token.
                assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}  # noqa: PT017  # as the documents say

    with ThreadPoolExecutor(CALLERS + 1) as threads:
        callers = [threads.submit(call, caller) for caller in range(CALLERS)]
        watching = threads.submit(watch)

        def progress() -> None:
            before = list(answered)
            eventually(
                lambda: (
                    all(now > old + 5 for now, old in zip(answered, before, strict=True))
                    or any(caller.done() for caller in callers)
                )
            )

        try:
            progress()
            for number in (0, 1):
                replicas.restart(number)
                progress()
            ids = {operation.operation_id for operation in operations(calls, tenant)}
            eventually(lambda: ids <= set(seen) or watching.done())
        finally:
            stop.set()
        devices = set().union(*(caller.result() for caller in callers))
        watching.result()
    assert len(seen) == len(set(seen))
    listed = calls.ListAssignedDevices(
        pb.ListAssignedDevicesRequest(customer_email=EMAIL, page_size=10_000), metadata=tenant.metadata
    )
    assert {device.device_identifier for device in listed.devices} == devices


def operations(calls: DeviceAssignmentServiceStub, tenant: Tenant) -> Iterator[pb.Operation]:
    request = pb.ListOperationsRequest(page_size=1_000)
    while True:
        page = calls.ListOperations(request, metadata=tenant.metadata)
        yield from page.operations
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
