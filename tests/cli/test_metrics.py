"""`--metrics-address`: one place for the numbers of all processes, whatever becomes of one of them."""

import os
import platform
import signal
from typing import Any

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub

from service.storage.database import Database
from tests.cli.conftest import Command, Launch, Server
from tests.conftest import Tenant, new_tenant
from tests.grpc_server.conftest import eventually
from tests.metrics.conftest import value
from tests.rest_gateway.conftest import Launch as LaunchGateway
from tests.rest_gateway.conftest import launch as launch_gateway
from tests.rest_gateway.rest import Http, Rest

__all__ = ["launch_gateway"]


def tenant_of(command: Command) -> Tenant:
    database = Database(command.url)
    tenant = new_tenant(database, "globex")
    tenant.assign("ada@example.com", ["A"])
    database.close()
    return tenant


def metrics_port(events: list[dict[str, Any]]) -> int:
    port: int = next(event["port"] for event in events if event["event"] == "metrics served")
    return port


def read(port: int, name: str, **labels: str) -> float | None:
    answer = Http(port).send("GET", "/metrics")
    assert answer.status == 200
    return value(answer.body, name, **labels)


def look_up(server: Server, tenant: Tenant, times: int) -> None:
    """Makes calls, each on a connection of its own, so that both workers get some."""
    for _ in range(times):
        with grpc.insecure_channel(f"127.0.0.1:{server.port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            request = pb.LookupOwnersRequest(device_identifiers=["A"])
            DeviceAssignmentServiceStub(channel).LookupOwners(
                request, metadata=tenant.metadata, wait_for_ready=True, timeout=60
            )


def test_the_numbers_of_all_workers_and_the_gateway_are_one_and_survive_a_killed_worker(
    sqlite: Command, launch: Launch
) -> None:
    tenant = tenant_of(sqlite)
    server = launch(sqlite, "--workers", "2", "--rest-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0")
    port = metrics_port(server.events)
    look_up(server, tenant, 20)
    rest = Rest(Http(server.rest_port), tenant.api_key)
    assert rest("/deviceAssignment/lookupOwners", deviceIdentifiers=["A"]).status == 200
    assert rest("/nothing").status == 404
    eventually(lambda: read(port, "rest_requests_total", rpc="other", code="404") == 1)
    for _ in range(5):  # whichever process answers
        assert read(port, "calls_total", rpc="LookupOwners", status="OK") == 21
    assert read(port, "rest_requests_total", rpc="LookupOwners", code="200") == 1
    assert read(port, "rest_requests_total", rpc="other", code="404") == 1
    eventually(lambda: (read(port, "server_processes"), read(port, "rest_processes")) == (2, 1))
    limit = read(port, "database_connections_limit")

    killed = server.processes["worker-1"]
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: server.processes["worker-1"] != killed)
    look_up(server, tenant, 20)
    eventually(lambda: read(port, "calls_total", rpc="LookupOwners", status="OK") == 41)
    # Until the new worker writes its gauges there are those of the other one alone.
    eventually(lambda: (read(port, "server_processes"), read(port, "database_connections_limit")) == (2, limit))

    assert server.stop(signal.SIGTERM).code == 0
    again = launch(sqlite, "--workers", "2", "--metrics-address", f"127.0.0.1:{port}")
    assert read(port, "calls_total", rpc="LookupOwners", status="OK") is None
    assert read(port, "calls_refused_total", reason="overloaded") == 0
    assert metrics_port(again.events) == port


def test_a_port_in_use_is_one_sentence(sqlite: Command, launch: Launch) -> None:
    server = launch(sqlite, "--metrics-address", "127.0.0.1:0")
    taken = f"127.0.0.1:{metrics_port(server.events)}"
    serve = ("serve", "--grpc-address", "127.0.0.1:0", "--metrics-address")
    for arguments in ((*serve, taken), (*serve, taken, "--workers", "2"), ("gateway", "--metrics-address", taken)):
        answer = sqlite(*arguments)
        assert answer.code == 1
        last = answer.err.splitlines()[-1]
        assert last == f"error: cannot listen on {taken} for metrics: Address already in use"
        assert "Traceback" not in answer.err
    elsewhere = sqlite(*serve, "192.0.2.1:9")
    assert elsewhere.err.splitlines()[-1].startswith("error: cannot listen on 192.0.2.1:9 for metrics: ")
    nonsense = sqlite(*serve, "nonsense")
    assert (nonsense.code, "must be HOST:PORT" in nonsense.err) == (2, True)


def test_the_setting_names_the_address_too_and_only_metrics_are_served_there(sqlite: Command, launch: Launch) -> None:
    server = launch(sqlite, DEVICE_ASSIGNMENT_METRICS_ADDRESS="127.0.0.1:0")
    port = metrics_port(server.events)
    for path in ("/", "/healthz", "/readyz", "/docs", "/api/ext-v1/device", "/metrics/x"):
        assert Http(port).send("GET", path).status == 404
    assert read(port, "build_info", version="1.0.0.dev0", python_version=platform.python_version()) == 1
    answer = server.stop(signal.SIGTERM)
    assert answer.code == 0
    assert "/metrics" not in answer.err


def test_a_gateway_alone_has_metrics_of_its_own(sqlite: Command, launch: Launch, launch_gateway: LaunchGateway) -> None:
    tenant = tenant_of(sqlite)
    server = launch(sqlite)
    gateway = launch_gateway(server.port, "--metrics-address", "127.0.0.1:0")
    eventually(lambda: any(event["event"] == "serving REST" for event in gateway.events))
    port = metrics_port(gateway.events)
    gateway.port = next(event["port"] for event in gateway.events if event["event"] == "serving REST")
    for name in ("A", ""):
        Rest(gateway, tenant.api_key)("/deviceAssignment/lookupOwners", deviceIdentifiers=[name])
    assert read(port, "rest_requests_total", rpc="LookupOwners", code="200") == 1
    assert read(port, "rest_requests_total", rpc="LookupOwners", code="400") == 1
    assert read(port, "rest_request_duration_seconds_count", rpc="LookupOwners") == 2
    eventually(lambda: read(port, "rest_processes") == 1)
