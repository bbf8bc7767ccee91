"""The retry policies of `clients/`: on the channel of a client of gRPC's own, against a server that restarts."""

import json
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub

from service.method_table import RPCS
from tests.cli.conftest import Command, Launch
from tests.conftest import Tenant
from tests.grpc_server.conftest import eventually

FOLDER = Path(__file__).parent.parent.parent / "clients"
READS, ALL = "service_config.json", "service_config.with_request_id.json"
EMAIL = "ada@example.com"

METHODS = {
    f"{service.full_name}/{method.name}": method
    for file in (device_assignment_pb2, customer_pb2, device_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
STREAMS = {name for name, method in METHODS.items() if method.server_streaming}
WRITES = {name for name, method in METHODS.items() if "request_id" in method.input_type.fields_by_name}


def config(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


@contextmanager
def stub(port: int, policy: Any) -> Iterator[DeviceAssignmentServiceStub]:
    options = [("grpc.service_config", json.dumps(policy)), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        yield DeviceAssignmentServiceStub(channel)


@pytest.mark.parametrize(("name", "retried"), [(READS, set(METHODS) - WRITES - STREAMS), (ALL, set(METHODS) - STREAMS)])
def test_every_rpc_is_named_once_and_retried_if_that_is_safe(name: str, retried: set[str]) -> None:
    assert {method for method in RPCS if RPCS[method].scopes[0].endswith(":write")} == WRITES
    found = {
        f"{method['service']}/{method['method']}": entry
        for entry in config(name)["methodConfig"]
        for method in entry["name"]
    }
    assert sum(len(entry["name"]) for entry in config(name)["methodConfig"]) == len(found)
    assert set(found) == set(METHODS)
    assert {method for method, entry in found.items() if "retryPolicy" in entry} == retried
    assert {method for method, entry in found.items() if "timeout" in entry} == set(METHODS) - STREAMS
    assert all(entry["waitForReady"] for entry in found.values())
    for entry in config(name)["methodConfig"]:
        if "retryPolicy" in entry:
            assert entry["retryPolicy"]["maxAttempts"] == 5  # gRPC takes no more
            assert set(entry["retryPolicy"]["retryableStatusCodes"]) == {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}


@pytest.mark.parametrize("name", [READS, ALL])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_calls_survive_a_restart(
    command: Command, launch: Launch, tenant: Tenant, name: str, number: signal.Signals
) -> None:
    """Four callers call without a pause while the server is stopped and started again."""
    tenant.assign(EMAIL, ["SN-1"])
    server = launch(command)
    stop = threading.Event()
    answered = [0] * 4
    devices: set[str] = {"SN-1"}

    def read(_number: int) -> None:
        request = pb.LookupOwnersRequest(device_identifiers=["SN-1"])
        assert calls.LookupOwners(request, metadata=tenant.metadata).results[0].found

    def write(number: int) -> None:
        device = f"SN-{number}-{answered[number]}"
        request = pb.AssignDevicesRequest(
            customer_email=EMAIL,
            device_identifiers=[device],
            auto_create_devices=True,
            device_type="thermostat",
            request_id=str(uuid.uuid4()),
        )
        # Done once: a repeat gets the first answer, which does not have the device among `already_assigned`.
        assert not calls.AssignDevices(request, metadata=tenant.metadata).already_assigned
        devices.add(device)

    def call(caller: int, once: Callable[[int], None]) -> None:
        while not stop.is_set():
            try:
                once(caller)
            except grpc.RpcError as error:
                # A call that arrives at the moment when gRPC stops; the documents say so.
                if error.code() is not grpc.StatusCode.CANCELLED:
                    raise
            else:
                answered[caller] += 1

    kinds = [read, read, read, read] if name == READS else [read, read, write, write]
    with stub(server.port, config(name)) as calls, ThreadPoolExecutor(4) as threads:
        callers = [threads.submit(call, caller, once) for caller, once in enumerate(kinds)]

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
            server.stop(number)
            launch(command, "--grpc-address", f"127.0.0.1:{server.port}")
            progress()
        finally:
            stop.set()
        for caller in callers:
            caller.result()
        listed = calls.ListAssignedDevices(
            pb.ListAssignedDevicesRequest(customer_email=EMAIL, page_size=10_000), metadata=tenant.metadata
        )
    # Those of a call that was cancelled may be there too.
    assert devices <= {device.device_identifier for device in listed.devices}


@pytest.mark.parametrize("name", [READS, ALL])
def test_a_watch_outlives_the_timeout_of_calls(sqlite: Command, launch: Launch, name: str) -> None:
    policy = config(name)
    for entry in policy["methodConfig"]:
        if "timeout" in entry:
            entry["timeout"] = "1s"
    with socket.create_server(("127.0.0.1", 0)) as silent, stub(silent.getsockname()[1], policy) as calls:
        with pytest.raises(grpc.RpcError) as failed:
            calls.LookupOwners(pb.LookupOwnersRequest(device_identifiers=["SN-1"]))
        assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    key = sqlite("key", "create", "--org", "acme", "--json").json["api_key"]
    metadata = (("x-api-key", key),)
    server = launch(sqlite)
    with stub(server.port, policy) as calls, stub(server.port, {}) as patient:
        stream = calls.WatchOperations(pb.WatchOperationsRequest(), metadata=metadata)
        stream.initial_metadata()
        time.sleep(3)  # three times as long as a call may take
        request = pb.AssignDevicesRequest(
            customer_email=EMAIL, device_identifiers=["SN-1"], auto_create_devices=True, device_type="thermostat"
        )
        made = patient.AssignDevices(request, metadata=metadata)
        found = (message.operation.operation_id for message in stream if message.HasField("operation"))
        assert next(found) == made.operation_id
        stream.cancel()
