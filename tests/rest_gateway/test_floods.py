"""Floods of requests without a valid key: others are served meanwhile, and the log stays short."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection

import grpc
import pytest

from service.domain.errors import ApiKeyInvalid
from service.grpc_server.status import to_status
from service.rest_gateway.paced_socket import PacedSocket
from service.rest_gateway.server import Runner
from service.runtime import open_files
from tests.grpc_server.conftest import eventually
from tests.rest_gateway.conftest import Launch, Local, Scripted
from tests.rest_gateway.rest import KEY, PREFIX, Gateway, Rest

CONNECTIONS = 300
EACH = 100
QUERY = "/customer/queryCustomer"
PATIENCE_SECONDS = 60


def get(path: str, *lines: str) -> bytes:
    """Writes a request."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: x", *lines, "\r\n"]).encode()


UNAUTHENTICATED = {
    "health": get("/healthz"),
    "page": get("/docs"),
    "no path": get("/nothing"),
    "no key": get(f"{PREFIX}/customer/getCustomer/x"),
    "two keys": get(f"{PREFIX}/customer/getCustomer/x", f"x-api-key: {KEY}", f"x-api-key: {KEY}"),
}


@contextmanager
def flood(port: int, request: bytes) -> Iterator[list[socket.socket]]:
    """Sends many requests on each of many connections, and reads nothing."""
    open_files.raise_limit()
    with ExitStack() as opened:
        made = [opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(CONNECTIONS)]
        for connection in made:
            connection.sendall(request * EACH)
        yield made


def served(runner: Runner) -> int:
    """How many requests a gateway of this process has answered."""
    assert runner._server is not None
    return runner._server.server_state.total_requests


def is_authenticated(paced: PacedSocket, expected: bool) -> bool:  # noqa: FBT001  # a condition to wait for
    """Whether a connection is authenticated, or not, as expected."""
    return paced.authenticated is expected


@pytest.mark.parametrize("kind", UNAUTHENTICATED)
def test_an_authenticated_request_does_not_wait_for_an_answer_on_each_other_connection(
    kind: str, local: Local, runners: list[Runner]
) -> None:
    port = local()
    authenticated_connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    between = []

    def ask() -> None:
        authenticated_connection.request("POST", PREFIX + QUERY, b"{}", {"x-api-key": KEY})
        assert authenticated_connection.getresponse().read()

    ask()
    with flood(port, UNAUTHENTICATED[kind]):
        eventually(lambda: served(runners[0]) > 5)
        for _ in range(20):
            before = served(runners[0])
            ask()
            if served(runners[0]) >= CONNECTIONS * EACH:
                break
            between.append(served(runners[0]) - before)
    # On a busy machine one request may take long, while others are answered.
    assert min(between) < CONNECTIONS // 3, between
    authenticated_connection.close()


def test_a_probe_is_answered_during_a_flood_on_a_new_and_on_an_open_connection(
    local: Local, runners: list[Runner]
) -> None:
    port = local(connections=CONNECTIONS + 10)
    kept = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    def probe(connection: HTTPConnection) -> int:
        before = served(runners[0])
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        return served(runners[0]) - before

    probe(kept)
    with flood(port, UNAUTHENTICATED["health"]):
        eventually(lambda: served(runners[0]) > CONNECTIONS + 50)
        first = probe(kept)
        new = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        second = probe(new)
        new.close()
    assert min(first, second) < CONNECTIONS // 3, (first, second)
    kept.close()


def test_new_connections_are_accepted_during_a_flood_that_has_all_connections(
    local: Local, runners: list[Runner]
) -> None:
    port = local(connections=CONNECTIONS)
    with flood(port, UNAUTHENTICATED["health"]):
        eventually(lambda: served(runners[0]) > CONNECTIONS)
        for _ in range(3):
            connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
            connection.request("POST", PREFIX + QUERY, b"{}", {"x-api-key": KEY})
            assert connection.getresponse().status == 200
            connection.close()


def test_a_connection_is_authenticated_by_its_last_request(local: Local, runners: list[Runner]) -> None:
    connection = HTTPConnection("127.0.0.1", local(), timeout=PATIENCE_SECONDS)
    for path, headers, authenticated in (
        ("/healthz", {}, False),
        (f"{PREFIX}/customer/getCustomer/x", {"x-api-key": KEY}, True),
        (f"{PREFIX}/customer/getCustomer/x", {}, False),
        (f"{PREFIX}/customer/getCustomer/x", {"x-api-key": KEY}, True),
        ("/docs", {}, False),
    ):
        connection.request("GET", path, headers=headers)
        connection.getresponse().read()
        assert runners[0]._server is not None
        (found,) = runners[0]._server.server_state.connections
        paced: PacedSocket = found._socket  # type: ignore[union-attr]  # the gateway's own
        # The connection may change a moment after the answer.
        eventually(partial(is_authenticated, paced, authenticated))
    connection.close()


def test_pipelined_requests_are_all_answered_in_order(gateway: Gateway) -> None:
    paths = ["/healthz", "/nothing", "/healthz", f"{PREFIX}/customer/getCustomer/x"] * 25
    sent = b"".join(map(get, paths)) + get("/healthz", "connection: close")
    statuses = [int(answer[:3]) for answer in gateway.raw(sent).split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 404, 200, 401] * 25 + [200]


def test_bodies_after_refused_heads_are_skipped_between_pipelined_requests(gateway: Gateway) -> None:
    post = f"POST {PREFIX}{QUERY} HTTP/1.1\r\nhost: x\r\ncontent-length: 40000\r\n\r\n".encode() + b"x" * 40_000
    got = gateway.raw((post + get("/healthz")) * 10 + get("/nothing", "connection: close"))
    statuses = [int(answer[:3]) for answer in got.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [401, 200] * 10 + [404]


@pytest.mark.parametrize(("kind", "status"), [("no path", 404), ("no key", 401)])
def test_the_log_of_a_flood_is_short_and_counts_what_it_leaves_out(
    kind: str, status: int, launch: Launch, server: int
) -> None:
    gateway = launch(server)
    started, count = time.monotonic(), 1_000
    gateway.raw(UNAUTHENTICATED[kind] * (count - 1) + UNAUTHENTICATED[kind][:-2] + b"connection: close\r\n\r\n")
    seconds = time.monotonic() - started
    time.sleep(1.1)
    assert gateway.send("GET", UNAUTHENTICATED[kind].split()[1].decode()).status == status
    gateway.stop()
    lines = [line for line in gateway.requests() if line["status"] == status]
    assert len(lines) <= 10 * (seconds + 2) + 1
    assert sum(1 + line.get("left_out", 0) for line in lines) == count + 1


def test_input_that_is_not_http_does_not_fill_the_log(launch: Launch, server: int) -> None:
    gateway = launch(server)
    started = time.monotonic()
    for sent in (b"\0 nonsense\r\n\r\n", get("/healthz", "connection: upgrade, close", "upgrade: x")) * 200:
        assert gateway.raw(sent).startswith(b"HTTP/1.1 ")
    seconds = time.monotonic() - started
    gateway.stop()
    # One a second of our own, and ten from each of three places in uvicorn; and the upgrades' own lines.
    assert len(gateway.log) <= (1 + 3 * 10 + 10) * (seconds + 2)
    assert len(gateway.log) < 600


def test_after_an_invalid_key_its_place_stays_taken(scripted: Scripted, launch: Launch) -> None:
    """Two are asked about at once, and the service has three quarters of the time for others."""
    took, count = 0.05, 16

    def refuse(context: grpc.ServicerContext) -> None:
        time.sleep(took)
        context.abort_with_status(to_status(ApiKeyInvalid(), "call-1"))

    gateway = launch(scripted.port)
    scripted.check = refuse
    started, statuses = time.monotonic(), list[int]()
    threads = [
        threading.Thread(target=lambda n=number: statuses.append(Rest(gateway, f"da_{n:08d}_{'1' * 40}")(QUERY).status))
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert statuses == [401] * count
    assert time.monotonic() - started >= count / 2 * took * 4


def test_a_flood_of_readiness_requests_checks_the_server_seldom(scripted: Scripted, launch: Launch) -> None:
    asked = []

    def answer(_context: grpc.ServicerContext) -> None:
        asked.append(1)
        time.sleep(0.05)

    gateway = launch(scripted.port)
    scripted.answer, scripted.bytes = answer, b"\x08\x01"
    count = 100
    got = gateway.raw(get("/readyz") * (count - 1) + get("/readyz", "connection: close"))
    assert got.count(b'{"status":"ready"}') == count
    assert len(asked) < count // 2
