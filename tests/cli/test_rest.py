"""`serve --rest-address`: REST beside gRPC, from one command."""

import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.cli.conftest import Command, Launch, Server, alive
from tests.conftest import Client, Tenant
from tests.grpc_server.certificates import issued
from tests.grpc_server.conftest import eventually, held
from tests.grpc_server.test_deadlines import waiting
from tests.rest_gateway.rest import Answer, Http, Rest

ADA = "ada@example.com"
QUERY = "/customer/queryCustomer"
UNASSIGN = "/deviceAssignment/unassignDevicesFromOwner"
REST = ("--rest-address", "127.0.0.1:0")
SERVING = health_pb2.HealthCheckResponse.SERVING

one_and_two_workers = pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["alone", "two workers"])


def events(server: Server, name: str) -> list[dict[str, Any]]:
    return [event for event in server.events if event["event"] == name]


@one_and_two_workers
def test_rest_and_grpc_answer_from_one_command(
    command: Command, launch: Launch, tenant: Tenant, workers: tuple[str, ...]
) -> None:
    tenant.assign(ADA, ["A", "B"])
    server = launch(command, *REST, *workers)
    rest, client = Rest(Http(server.rest_port), tenant.api_key), Client(server.port)
    assert client.unassign(tenant, ADA, ["A"]).unassigned_devices == ["A"]
    assert rest(QUERY, email=ADA).json["devices"] == ["B"]
    assert rest(UNASSIGN, customerEmail=ADA, deviceIdentifiers=["B"]).json["unassignedDevices"] == ["B"]
    assert client.devices(tenant, ADA) == []
    assert rest.gateway.send("GET", "/readyz").status == 200
    client.channel.close()
    names = {"supervisor", "gateway", "worker-1", *(["worker-2"] if workers else [])}
    assert server.stop(signal.SIGTERM).code == 0
    assert {event["process"] for event in server.events} == names
    for name in ("serving", "serving REST", "all workers serving"):
        assert {event["version"] for event in events(server, name)} == {version("device-assignment")}


# On SQLite nothing tells that a process waits for another, and it waits for five seconds only.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@one_and_two_workers
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_rest_call_in_flight_is_answered_before_the_end(
    command: Command, launch: Launch, tenant: Tenant, workers: tuple[str, ...], number: int
) -> None:
    tenant.assign(ADA, ["A"])
    server = launch(command, *REST, *workers)
    rest = Rest(Http(server.rest_port), tenant.api_key)
    answers: list[Answer] = []
    caller = threading.Thread(target=lambda: answers.append(rest(UNASSIGN, customerEmail=ADA, deviceIdentifiers=["A"])))
    with held(tenant.database, ADA):
        caller.start()
        eventually(lambda: waiting(tenant.database) == 1)
        # On a terminal, Ctrl-C reaches them all.
        for pid in server.processes.values() if number == signal.SIGINT else ():
            os.kill(pid, number)
        time.sleep(0.5)
        assert not refuses(server.rest_port)
        server.process.send_signal(number)
        eventually(lambda: refuses(server.rest_port))
        time.sleep(0.5)
        assert not events(server, "stopping")
    caller.join()
    assert answers[0].json["unassignedDevices"] == ["A"]
    assert server.stop(signal.SIGTERM).code == 0
    # The workers are asked only when nobody calls them any more.
    order = [e["event"] for e in server.events if e["event"] in {"stopped REST", "stopping"}]
    assert order == ["stopped REST", "stopping", *(["stopping"] if workers else [])]


def collect(watch: Any, told: list[int]) -> None:
    """Reads a watch of the health until it is cancelled."""
    with suppress(grpc.RpcError):
        told.extend(answer.status for answer in watch)


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


@one_and_two_workers
def test_a_gateway_that_is_killed_comes_back_and_the_health_of_grpc_is_its_own(
    command: Command, launch: Launch, tenant: Tenant, workers: tuple[str, ...]
) -> None:
    tenant.assign(ADA, ["A"])
    server = launch(command, *REST, *workers)
    channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
    health: Any = health_pb2_grpc.HealthStub(channel)
    watch = health.Watch(health_pb2.HealthCheckRequest())
    told: list[int] = []
    reader = threading.Thread(target=lambda: collect(watch, told))
    reader.start()
    eventually(lambda: told == [SERVING])
    killed = server.processes["gateway"]
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: len(events(server, "serving REST")) == 2)
    assert server.processes["gateway"] != killed
    for _ in range(20):
        assert health.Check(health_pb2.HealthCheckRequest()).status == SERVING
        time.sleep(0.1)
    assert told == [SERVING]
    assert Rest(Http(server.rest_port), tenant.api_key)(QUERY, email=ADA).json["devices"] == ["A"]
    watch.cancel()
    reader.join()
    channel.close()
    assert server.stop(signal.SIGTERM).code == 0


@one_and_two_workers
def test_without_their_supervisor_all_end_and_free_both_ports(
    sqlite: Command, launch: Launch, workers: tuple[str, ...]
) -> None:
    server = launch(sqlite, *REST, *workers)
    pids = server.processes.values()
    assert len(pids) == (3 if workers else 2)
    assert server.stop(signal.SIGKILL).code == -signal.SIGKILL
    eventually(lambda: not any(map(alive, pids)))
    assert refuses(server.port)
    assert refuses(server.rest_port)
    assert len(events(server, "stopped REST")) == 1


@one_and_two_workers
def test_one_certificate_serves_both(
    command: Command, launch: Launch, tenant: Tenant, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    tenant.assign(ADA, ["A"])
    authority, chain, key = issued(tmp_path, "DNS:devices.example.com,DNS:localhost")
    server = launch(command, *REST, *workers, "--tls-cert", str(chain), "--tls-key", str(key))
    context = ssl.create_default_context(cafile=str(authority))
    assert Rest(Http(server.rest_port), tenant.api_key, context)(QUERY, email=ADA).json["devices"] == ["A"]
    credentials = grpc.ssl_channel_credentials(authority.read_bytes())
    with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        found = DeviceAssignmentServiceStub(channel).LookupOwners(
            pb.LookupOwnersRequest(device_identifiers=["A"]), metadata=tenant.metadata
        )
        assert found.results[0].found
    with pytest.raises(OSError, match=r".*"):
        Http(server.rest_port).send("GET", "/healthz")
    assert server.stop(signal.SIGTERM).code == 0


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "localhost:0", "[::1]:0"])
def test_a_server_on_every_address_is_reached_on_loopback(sqlite: Command, launch: Launch, address: str) -> None:
    server = launch(sqlite, *REST, "--grpc-address", address, "--insecure")
    assert Http(server.rest_port).send("GET", "/readyz").status == 200
    target = events(server, "serving REST")[0]["target"]
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(address[:-2], address[:-2])  # noqa: S104  # what is tested
    assert target == f"{host}:{server.port}"


def addresses(name: str) -> list[str]:
    """The addresses that a name stands for and this machine has."""
    found = []
    for family, _, _, _, where in socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM):
        with suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(where)
            found.append(str(where[0]))
    return found


@one_and_two_workers
def test_listening_on_a_name_is_listening_on_all_of_its_addresses(
    sqlite: Command, launch: Launch, workers: tuple[str, ...]
) -> None:
    server = launch(sqlite, "--grpc-address", "localhost:0", "--rest-address", "localhost:0", *workers)
    found = addresses("localhost")
    assert "127.0.0.1" in found
    for address in found:
        with socket.create_connection((address, server.rest_port), 30) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
        host = f"[{address}]" if ":" in address else address
        with grpc.insecure_channel(f"{host}:{server.port}") as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            assert health.Check(health_pb2.HealthCheckRequest(), timeout=30).status == SERVING
    assert server.stop(signal.SIGTERM).code == 0


def test_a_rest_port_that_is_taken_is_told_before_anything_serves(sqlite: Command, launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        runs = [("--grpc-address", "127.0.0.1:0"), ("--grpc-address", "127.0.0.1:0", "--workers", "2")]
        for answer in sqlite.each(*(("serve", "--rest-address", address, *run) for run in runs)):
            assert (answer.code, answer.out) == (1, "")
            assert answer.err == f"error: cannot listen on {address}: Address already in use\n"
    running = launch(sqlite, *REST)
    port, rest_port = running.port, running.rest_port
    clashes = [(port, 0, port), (0, rest_port, rest_port), (0, port, port), (rest_port, 0, rest_port)]
    answers = sqlite.each(
        *(("serve", "--grpc-address", f"127.0.0.1:{a}", "--rest-address", f"127.0.0.1:{b}") for a, b, _ in clashes),
        ("gateway", "--rest-address", f"127.0.0.1:{rest_port}"),
        ("serve", "--grpc-address", f"127.0.0.1:{rest_port}"),
    )
    for answer, number in zip(answers, [*(clash[2] for clash in clashes), rest_port, rest_port], strict=True):
        assert (answer.code, answer.out) == (1, "")
        assert answer.err == f"error: cannot listen on 127.0.0.1:{number}: Address already in use\n"


def test_the_port_stays_reserved_while_the_gateway_is_down(sqlite: Command, launch: Launch) -> None:
    server = launch(sqlite, *REST)
    os.kill(server.processes["gateway"], signal.SIGSTOP)
    address = f"127.0.0.1:{server.rest_port}"
    answer = sqlite("gateway", "--rest-address", address)
    assert (answer.code, answer.err) == (1, f"error: cannot listen on {address}: Address already in use\n")
    os.kill(server.processes["gateway"], signal.SIGCONT)
    assert server.stop(signal.SIGTERM).code == 0


def test_wrong_usage_is_told_before_anything_is_opened(plain: Command) -> None:
    runs = {
        ("--rest-address", "0.0.0.0:8080"): "plaintext beyond loopback shows API keys to the network",
        ("--rest-address", "8080"): "must be HOST:PORT",
        ("--rest-address", "127.0.0.1:8080", "--tls-key", "key.pem"): "--tls-cert and --tls-key go together",
    }
    for answer, problem in zip(plain.each(*(("serve", *run) for run in runs)), runs.values(), strict=True):
        assert (answer.code, answer.out) == (2, "")
        assert problem in answer.err


def test_a_certificate_that_no_client_could_accept_is_told_before_anything_serves(
    sqlite: Command, tmp_path: Path
) -> None:
    _, chain, key = issued(tmp_path, "email:ada@example.com")
    answer = sqlite("serve", "--grpc-address", "127.0.0.1:0", *REST, "--tls-cert", str(chain), "--tls-key", str(key))
    assert answer.code == 1
    assert answer.err == f"error: {chain} and {key} cannot be used: the certificate is for no name (subjectAltName)\n"


def test_one_id_finds_a_call_in_both_logs(command: Command, launch: Launch, tenant: Tenant) -> None:
    tenant.assign(ADA, ["A"])
    server = launch(command, *REST)
    rest = Rest(Http(server.rest_port), tenant.api_key)
    assert rest(QUERY, {"x-request-id": "order-4711"}, email=ADA).headers["x-request-id"] == "order-4711"
    made = rest(QUERY, {"x-request-id": "two words"}, email=ADA).headers["x-request-id"]
    shown = rest(QUERY, {"x-request-id": f"{tenant.api_key}/{ADA}"}, email=ADA)
    assert shown.status == 200
    assert server.stop(signal.SIGTERM).code == 0
    logged = [
        [line["x_request_id"] for line in events(server, name) if not line["method"].endswith("CheckKey")]
        for name in ("request", "call")
    ]
    assert logged == [["order-4711", made, "[e-mail]"]] * 2
    assert tenant.api_key not in "".join(server.log)


def test_the_printed_curl_call_works_when_pasted(tmp_path: Path, launch: Launch) -> None:
    new = Command(tmp_path, f"sqlite:///{tmp_path / 'new.db'}")
    server = launch(new, "--example", *REST)
    assert server.process.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("Ctrl-C"):
        lines.append(server.process.stdout.readline())
    begin = next(number for number, line in enumerate(lines) if line.startswith("  curl "))
    key = next(line for line in lines if line.startswith("  export API_KEY="))
    call = key + "".join(lines[begin : lines.index("\n", begin)])
    # Pasted twice, because the second call is no error.
    for expected in ('["SN-1001","SN-1002"]', "[]"):
        pasted = subprocess.run(call, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S602
        assert pasted.returncode == 0, pasted.stderr
        assert f'"unassignedDevices":{expected}' in pasted.stdout
    page = next(line for line in lines if "/docs" in line).split()[-1]
    assert page == f"http://127.0.0.1:{server.rest_port}/docs"
    assert Http(server.rest_port).send("GET", "/docs").status == 200
    ended = server.stop(signal.SIGTERM)
    assert ended.code == 0
    assert "da_" not in ended.err
