"""Certificates that are renewed, and SIGHUP, under calls: nothing ends, and new connections are shown the new one."""

import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub

from service.storage.database import Database
from tests.cli.conftest import EXECUTABLE, Command, Launch, Server, alive
from tests.conftest import Tenant, new_tenant
from tests.grpc_server.certificates import issued
from tests.grpc_server.conftest import eventually
from tests.grpc_server.pairs import RSA, pair, point
from tests.rest_gateway.rest import Gateway, Http, Rest

ADA = "ada@example.com"
QUERY = "/customer/queryCustomer"
REST = ("--rest-address", "127.0.0.1:0")
every_way = pytest.mark.parametrize("arguments", [(), REST, (*REST, "--workers", "2")], ids=["alone", "REST", "two"])


def shown(port: int, protocol: str = "h2") -> str:
    """Returns the certificate that a port shows, in PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    with (
        socket.create_connection(("127.0.0.1", port), 30) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as tls,
    ):
        return ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True) or b"")


def shows(server: Server, certificate: Path) -> bool:
    """Whether all ports show a certificate to new connections: of two workers, each takes some of them."""
    wanted = certificate.read_text()
    return all(shown(server.port) == wanted for _ in range(6)) and (
        not server.rest_port or shown(server.rest_port, "http/1.1") == wanted
    )


def secret(folder: Path, made: tuple[Path, Path]) -> tuple[str, ...]:
    """Lays a pair out as Kubernetes does. Gives the options of `serve`."""
    link = folder / "secret"
    point(link, made[0].parent)
    return ("--tls-cert", str(link / "tls.crt"), "--tls-key", str(link / "tls.key"))


@contextmanager
def calling(call: Callable[[], object]) -> Iterator[list[int]]:
    """Makes calls one after the other meanwhile, all of which must go well; gives a list that grows with each."""
    made: list[int] = []
    failures: list[Exception] = []
    ending = threading.Event()

    def repeat() -> None:
        while not ending.is_set():
            try:
                call()
            except Exception as error:  # noqa: BLE001  # the test shows it
                failures.append(error)
                return
            made.append(1)

    caller = threading.Thread(target=repeat)
    caller.start()
    try:
        yield made
    finally:
        ending.set()
        caller.join()
    assert failures == []


@pytest.fixture
def acme(sqlite: Command) -> Iterator[Tenant]:
    """An organisation with a device."""
    database = Database(sqlite.url)
    tenant = new_tenant(database, "renewal")
    tenant.assign(ADA, ["A"])
    yield tenant
    database.close()


@every_way
def test_a_new_certificate_is_shown_and_no_call_ends(
    sqlite: Command, launch: Launch, acme: Tenant, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    first, second = pair(tmp_path / "first"), pair(tmp_path / "second", *RSA, names="DNS:devices.example,DNS:localhost")
    server = launch(sqlite, *arguments, *secret(tmp_path, first))
    assert shows(server, first[0])
    credentials = grpc.ssl_channel_credentials(first[0].read_bytes() + second[0].read_bytes())
    with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        stub = DeviceAssignmentServiceStub(channel)
        watch = stub.WatchOperations(pb.WatchOperationsRequest(), metadata=acme.metadata)
        assert next(watch).operation
        with calling(lambda: _ask(stub, server, acme, first[0], second[0])) as made:
            eventually(lambda: made)
            point(tmp_path / "secret", second[0].parent)
            eventually(lambda: shows(server, second[0]))
            for _ in range(20):
                server.process.send_signal(signal.SIGHUP)
            processes: set[str | None] = {*server.processes} or {None}
            unchanged = "certificate as before"
            eventually(lambda: {event.get("process") for event in events(server, unchanged)} == processes)
            so_far = len(made)
            eventually(lambda: len(made) > so_far + 3)
        acme.assign(ADA, ["B"])
        assert next(watch).operation
        watch.cancel()
    assert server.stop(signal.SIGTERM).code == 0


def _ask(stub: DeviceAssignmentServiceStub, server: Server, tenant: Tenant, *trusted: Path) -> None:
    request = pb.LookupOwnersRequest(device_identifiers=["A"])
    assert stub.LookupOwners(request, metadata=tenant.metadata, timeout=30).results[0].found
    if server.rest_port:
        context = ssl.create_default_context(cadata="".join(file.read_text() for file in trusted))
        answer = Rest(Http(server.rest_port), tenant.api_key, context)(QUERY, email=ADA)
        assert answer.status == 200, answer.body


@every_way
def test_one_that_cannot_be_used_is_not_shown_and_a_good_one_after_it_is(
    sqlite: Command, launch: Launch, acme: Tenant, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    first, second = pair(tmp_path / "first"), pair(tmp_path / "second")
    bad = pair(tmp_path / "bad", "-algorithm", "ED25519")
    server = launch(sqlite, *arguments, *secret(tmp_path, first))
    processes = len(server.processes) or 1
    point(tmp_path / "secret", bad[0].parent)
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(events(server, "certificate not renewed")) == processes)
    assert all("gRPC cannot use the key" in event["reason"] for event in events(server, "certificate not renewed"))
    assert shows(server, first[0])
    time.sleep(6)  # another look
    assert len(events(server, "certificate not renewed")) == processes
    # One that starts now has no other than that which the supervisor has kept.
    if "worker-1" in server.processes:
        os.kill(server.processes["worker-1"], signal.SIGKILL)
        eventually(lambda: len(events(server, "serving")) > len(arguments) // 2)
        assert shows(server, first[0])
    point(tmp_path / "secret", second[0].parent)
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: shows(server, second[0]))
    if "gateway" in server.processes:
        os.kill(server.processes["gateway"], signal.SIGKILL)
        os.kill(server.processes["worker-1"], signal.SIGKILL)
        context = ssl.create_default_context(cafile=str(second[0]))

        def answers() -> bool:
            try:
                return Rest(Http(server.rest_port), acme.api_key, context)(QUERY, email=ADA).status == 200
            except OSError:
                return False

        eventually(answers)
        assert shows(server, second[0])
    assert server.stop(signal.SIGTERM).code == 0


def events(server: Server, name: str) -> list[dict[str, str]]:
    return [event for event in server.events if event["event"] == name]


@every_way
def test_sighup_ends_no_process_and_no_call_in_plaintext_either(
    sqlite: Command, launch: Launch, acme: Tenant, arguments: tuple[str, ...]
) -> None:
    server = launch(sqlite, *arguments)
    pids = [server.process.pid, *server.processes.values()]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = DeviceAssignmentServiceStub(channel)
        watch = stub.WatchOperations(pb.WatchOperationsRequest(), metadata=acme.metadata)
        assert next(watch).operation
        request = pb.LookupOwnersRequest(device_identifiers=["A"])
        with calling(lambda: stub.LookupOwners(request, metadata=acme.metadata, timeout=30)) as made:
            for _ in range(50):
                for pid in pids:
                    os.kill(pid, signal.SIGHUP)
            so_far = len(made)
            eventually(lambda: len(made) > so_far + 3)
        acme.assign(ADA, ["B"])
        assert next(watch).operation
        watch.cancel()
    assert all(map(alive, pids))
    assert server.stop(signal.SIGTERM).code == 0


def test_a_gateway_trusts_an_authority_that_is_new_and_its_streams_go_on(
    sqlite: Command, launch: Launch, acme: Tenant, tmp_path: Path
) -> None:
    first, second = pair(tmp_path / "first"), pair(tmp_path / "second")
    server = launch(sqlite, *secret(tmp_path, first))
    trusted = tmp_path / "authority.pem"
    trusted.write_bytes(first[0].read_bytes())
    gateway = Gateway(f"localhost:{server.port}", "--grpc-ca", str(trusted))
    rest = Rest(gateway, acme.api_key)
    connection = gateway.connection()
    connection.request("GET", "/api/ext-v1/deviceAssignment/watchOperations", headers={"x-api-key": acme.api_key})
    stream = connection.getresponse()
    until_operation(stream)
    with calling(lambda: _good(rest)) as made:
        trusted.write_bytes(second[0].read_bytes())
        os.kill(gateway.process.pid, signal.SIGHUP)
        eventually(lambda: any(event["event"] == "certificate renewed" for event in gateway.events))
        so_far = len(made)
        eventually(lambda: len(made) > so_far + 3)
        point(tmp_path / "secret", second[0].parent)
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: shows(server, second[0]))
    # The stream is still on the first connection; behind a new server only the new one can be.
    acme.assign(ADA, ["B"])
    until_operation(stream)
    connection.close()
    port = server.port
    assert server.stop(signal.SIGTERM).code == 0
    launch(sqlite, *secret(tmp_path, second), "--grpc-address", f"127.0.0.1:{port}")
    eventually(lambda: rest(QUERY, email=ADA).status == 200)
    assert gateway.stop() == 0


def until_operation(stream: HTTPResponse) -> None:
    """Reads until the next operation."""
    while not (line := stream.readline()).startswith(b"event: operation"):
        assert line, "the stream has ended"


def _good(rest: Rest) -> None:
    answer = rest(QUERY, email=ADA)
    assert answer.status == 200, answer.body


def test_client_certificates_are_asked_for_beside_the_key(
    sqlite: Command, launch: Launch, acme: Tenant, tmp_path: Path
) -> None:
    for name in ("server", "client", "other"):
        (tmp_path / name).mkdir()
    authority, chain, key = issued(tmp_path / "server", "DNS:localhost")
    client_ca, *mine = issued(tmp_path / "client", "DNS:caller", "clientAuth")
    _, *others = issued(tmp_path / "other", "DNS:caller", "clientAuth")
    show = ("--tls-client-cert", str(mine[0]), "--tls-client-key", str(mine[1]))
    serve = ("--tls-cert", str(chain), "--tls-key", str(key), "--tls-client-ca", str(client_ca))
    server = launch(sqlite, *REST, *serve, *show)

    where = ("--address", f"localhost:{server.port}", "--tls-ca", str(authority), "--timeout", "5")
    owners = ("owners", "A", "--json", *where)
    variable = {"DEVICE_ASSIGNMENT_API_KEY": acme.api_key}
    assert ADA in sqlite(*owners, *show, **variable).out
    assert sqlite(*owners, **variable).code == 1
    wrong = ("--tls-client-cert", str(others[0]), "--tls-client-key", str(others[1]))
    assert sqlite(*owners, *wrong, **variable).code == 1

    context = ssl.create_default_context(cafile=str(authority))
    with pytest.raises(OSError, match=r".*"):
        Rest(Http(server.rest_port), acme.api_key, context)(QUERY, email=ADA)
    context.load_cert_chain(others[0], others[1])
    with pytest.raises(OSError, match=r".*"):
        Rest(Http(server.rest_port), acme.api_key, context)(QUERY, email=ADA)
    context.load_cert_chain(mine[0], mine[1])
    answer = Rest(Http(server.rest_port), acme.api_key, context)(QUERY, email=ADA)
    assert answer.json["devices"] == ["A"]
    assert Rest(Http(server.rest_port), "da_no", context)(QUERY, email=ADA).status == 401

    alone = Gateway(f"localhost:{server.port}", "--grpc-ca", str(authority), *show)
    assert Rest(alone, acme.api_key)(QUERY, email=ADA).status == 200
    assert alone.stop() == 0
    refused = Gateway(f"localhost:{server.port}", "--grpc-ca", str(authority))
    assert Rest(refused, acme.api_key)(QUERY, email=ADA).status == 503
    assert refused.stop() == 0

    # Whom to ask for is read again, too.
    client_ca.write_bytes((tmp_path / "other" / "authority.pem").read_bytes() + client_ca.read_bytes())
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(events(server, "certificate renewed")) == 2)
    assert ADA in sqlite(*owners, *wrong, **variable).out
    assert server.stop(signal.SIGTERM).code == 0


def test_the_gateway_beside_shows_the_servers_own_certificate_where_that_is_good_for_it(
    sqlite: Command, launch: Launch, acme: Tenant, tmp_path: Path
) -> None:
    authority, chain, key = issued(tmp_path, "DNS:localhost", "serverAuth,clientAuth")
    tls = ("--tls-cert", str(chain), "--tls-key", str(key), "--tls-client-ca", str(authority))
    server = launch(sqlite, *REST, *tls)
    context = ssl.create_default_context(cafile=str(authority))
    context.load_cert_chain(chain, key)
    assert Rest(Http(server.rest_port), acme.api_key, context)(QUERY, email=ADA).status == 200
    assert server.stop(signal.SIGTERM).code == 0
    (tmp_path / "other").mkdir()
    other, *_ = issued(tmp_path / "other", "DNS:x")
    answer = sqlite("serve", "--grpc-address", "127.0.0.1:0", *REST, *tls[:4], "--tls-client-ca", str(other))
    assert answer.code == 1
    assert answer.err.endswith("does not come from the authority that it asks for\n")


@pytest.mark.parametrize("arguments", [(), ("--workers", "2"), REST], ids=["alone", "two", "REST"])
def test_a_key_that_no_client_can_use_is_told_before_anything_serves(
    sqlite: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    runs = {
        ("-algorithm", "ED25519"): "gRPC cannot use the key; what works is an RSA key of 2048 bits or more",
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"): "gRPC cannot use the key; what works",
        ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"): "the key is too short; what works",
    }
    for number, (kind, problem) in enumerate(runs.items()):
        made = pair(tmp_path / str(number), *kind)
        tls = ("--tls-cert", str(made[0]), "--tls-key", str(made[1]))
        answer = sqlite("serve", "--grpc-address", "127.0.0.1:0", *arguments, *tls)
        assert (answer.code, answer.out) == (1, "")
        assert answer.err.startswith(f"error: {made[0]} and {made[1]} cannot be used: {problem}")
        assert answer.err.count("\n") == 1


def test_an_end_that_is_near_is_told(sqlite: Command, launch: Launch, tmp_path: Path) -> None:
    made = pair(tmp_path / "pair", days=3)
    server = launch(sqlite, "--tls-cert", str(made[0]), "--tls-key", str(made[1]))
    eventually(lambda: events(server, "certificate ends soon"))
    assert server.stop(signal.SIGTERM).code == 0


@pytest.mark.process
def test_sighup_ends_no_server_that_is_about_to_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It waits for this database, having done all that comes before.
        url = f"postgresql+psycopg://127.0.0.1:{silent.getsockname()[1]}/x"
        process = subprocess.Popen(
            [EXECUTABLE, "serve", "--grpc-address", "127.0.0.1:0", *REST],
            env=Command(tmp_path, url).environment(),
            stderr=subprocess.PIPE,
        )
        silent.settimeout(60)
        connection, _ = silent.accept()
        process.send_signal(signal.SIGHUP)
        connection.close()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith(b"error: cannot open the database x on 127.0.0.1")
