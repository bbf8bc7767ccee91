"""Time-outs of slow clients, and the limits of connections and memory."""

import socket
import time
from contextlib import ExitStack

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.keys import SCOPES
from service.rest_gateway.server import Runner
from service.storage.keys import Keys
from tests.conftest import Tenant
from tests.grpc_server.conftest import eventually
from tests.rest_gateway.conftest import Launch, Local, Scripted
from tests.rest_gateway.rest import KEY, PREFIX, Gateway, Rest

UNASSIGN = "/deviceAssignment/unassignDevicesFromOwner"
QUERY = "/customer/queryCustomer"
WATCH = "/deviceAssignment/watchOperations"
PATIENCE_SECONDS = 60


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def head(path: str, key: str, length: int, *lines: str) -> bytes:
    """Writes the head of a request."""
    given = [f"POST {PREFIX}{path} HTTP/1.1", "host: x", f"x-api-key: {key}", f"content-length: {length}"]
    return "\r\n".join([*given, *lines, "\r\n"]).encode()


def rest_of(connection: socket.socket) -> bytes:
    """Reads until the gateway closes the connection."""
    got = b""
    try:
        while piece := connection.recv(65_536):
            got += piece
    except ConnectionResetError:
        pass
    return got


def test_an_incomplete_head_is_408_and_a_silent_connection_is_closed(gateway: Gateway) -> None:
    with connect(gateway.port) as half, connect(gateway.port) as silent:
        half.sendall(b"GET /healthz HTTP/1.1\r\nhost:")
        assert rest_of(half).startswith(b"HTTP/1.1 408 ")
        assert rest_of(silent) == b""


def test_a_head_that_comes_byte_by_byte_times_out_too(gateway: Gateway) -> None:
    with connect(gateway.port) as connection:
        connection.settimeout(0.5)
        for _ in range(PATIENCE_SECONDS * 2):
            connection.sendall(b"GET / HTTP/1.1\r\n"[:1] if _ == 0 else b"G")
            try:
                assert connection.recv(12) == b"HTTP/1.1 408"
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("no answer")


def test_an_incomplete_body_is_408_at_the_deadline(rest: Rest, gateway: Gateway) -> None:
    with connect(gateway.port) as connection:
        connection.sendall(head(QUERY, rest.api_key, 100, "x-request-timeout: 0.5") + b'{"email"')
        assert connection.recv(12) == b"HTTP/1.1 408"
        connection.sendall(b" " * 50)
        # The rest of the body does not come, so the connection is closed.
        assert rest_of(connection)


def test_a_connection_is_closed_if_the_rest_of_an_answered_body_does_not_come(gateway: Gateway) -> None:
    with connect(gateway.port) as connection:
        connection.sendall(head(QUERY, KEY, 1_000_000) + b"x" * 1_000)
        assert rest_of(connection).startswith(b"HTTP/1.1 401 ")


def open_connections(runner: Runner) -> int:
    """How many connections a gateway of this process has."""
    assert runner._server is not None
    return len(runner._server._connections.open)


def test_an_idle_connection_is_closed(local: Local) -> None:
    with connect(local(IDLE_SECONDS=0.5)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert rest_of(connection).endswith(b'{"status":"live"}\n')


def test_answers_are_sent_without_nagles_algorithm(local: Local, runners: list[Runner]) -> None:
    """With it, an answer in two segments waits for the client's delayed acknowledgement, 40 ms."""
    with connect(local()) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        assert runners[0]._server is not None
        (served,) = runners[0]._server.server_state.connections
        ours = served.transport.get_extra_info("socket")
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def slow_reader(port: int, *lines: bytes) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.settimeout(PATIENCE_SECONDS)
    connection.connect(("127.0.0.1", port))
    connection.sendall(b"\r\n".join([*lines, b"\r\n"]))
    return connection


def test_the_connection_of_a_client_that_does_not_read_a_stream_is_closed(local: Local, scripted: Scripted) -> None:
    scripted.bytes = pb.WatchOperationsResponse(operation=pb.Operation(note="x" * 100_000)).SerializeToString()
    scripted.count = 1_000
    port = local(STALL_SECONDS=1.0)
    ask = (f"GET {PREFIX}{WATCH} HTTP/1.1".encode(), b"host: x", f"x-api-key: {KEY}".encode())
    with slow_reader(port, *ask) as connection:
        eventually(lambda: scripted.sent > 3)
        time.sleep(3)
        assert len(rest_of(connection)) < 50_000_000
    assert scripted.sent < 300


def test_the_connection_of_a_client_that_does_not_read_an_answer_is_closed(local: Local, scripted: Scripted) -> None:
    scripted.bytes = pb.UnassignDevicesResponse(skipped=["x" * 250] * 40_000).SerializeToString()
    ask = head(UNASSIGN, KEY, 2).rstrip().split(b"\r\n")
    with slow_reader(local(STALL_SECONDS=1.0), *ask, b"", b"{}") as connection:
        time.sleep(4)
        assert len(rest_of(connection)) < 9_000_000


def test_closing_does_not_wait_for_a_client_that_does_not_read(
    local: Local, scripted: Scripted, runners: list[Runner]
) -> None:
    """Some of these sizes leave less unread than the limit at which writing pauses."""
    ask = head(UNASSIGN, KEY, 2, "connection: close").rstrip().split(b"\r\n")
    with ExitStack() as held:
        port = local(STALL_SECONDS=1.0)
        for size in range(500, 60_000, 500):
            scripted.bytes = pb.UnassignDevicesResponse(skipped=["x" * 97] * size).SerializeToString()
            connection = held.enter_context(slow_reader(port, *ask, b"", b"{}"))
            assert connection.recv(12) == b"HTTP/1.1 200"
        eventually(lambda: not open_connections(runners[0]))


def answered(rest: Rest) -> int:
    """Makes a call. Returns its status; 0 if the connection is closed."""
    try:
        return rest(QUERY, email="a@example.com").status
    except OSError:
        return 0


def test_silent_connections_are_closed_for_new_ones(launch: Launch, server: int, tenant: Tenant) -> None:
    gateway = launch(server, rest_connections="20")
    rest = Rest(gateway, tenant.api_key)
    with ExitStack() as open_ones:
        kept = [open_ones.enter_context(connect(gateway.port)) for _ in range(60)]
        for connection in kept[::2]:
            connection.sendall(b"GET /healthz HT")
        eventually(lambda: answered(rest) == 404)
        assert rest_of(kept[0]) == b""


def test_one_key_has_half_of_the_connections_and_all_of_them_have_a_limit(
    launch: Launch, server: int, tenant: Tenant
) -> None:
    gateway = launch(server, rest_connections="20")
    keys = [tenant.api_key, Keys(tenant.database).create(tenant.id, SCOPES, None)[1]]
    with ExitStack() as open_ones:
        for key in keys:
            for _ in range(10):
                connection = open_ones.enter_context(connect(gateway.port))
                connection.sendall(head(QUERY, key, 100) + b"{")
        # The limit is reached when the last of them has been accepted.
        answers: list[bytes] = []

        def turned_away() -> bool:
            with connect(gateway.port) as connection:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
                answers.append(connection.recv(65_536))
            return answers[-1].startswith(b"HTTP/1.1 503 ")

        eventually(turned_away)
        assert b"retry-after: 1" in answers[-1]
    eventually(lambda: not turned_away())
    assert len([line for line in gateway.events if line["event"] == "too many connections"]) >= 1
    with ExitStack() as open_ones:
        for _ in range(10):
            open_ones.enter_context(connect(gateway.port)).sendall(head(QUERY, keys[0], 100) + b"{")
        one = Rest(gateway, keys[0])
        eventually(lambda: one(QUERY, email="a@example.com").status == 503)
        assert one(QUERY, email="a@example.com").headers["retry-after"] == "1"
        assert Rest(gateway, keys[1])(QUERY, email="a@example.com").status == 404


def test_large_bodies_in_memory_have_a_limit_and_small_ones_are_served(
    launch: Launch, server: int, tenant: Tenant
) -> None:
    gateway = launch(server, rest_buffered_bytes="3000000", rest_max_body_bytes="1500000")
    keys = [tenant.api_key, *(Keys(tenant.database).create(tenant.id, SCOPES, None)[1] for _ in range(2))]
    first, second, third = (Rest(gateway, key) for key in keys)
    large = b" " * 1_000_000
    with connect(gateway.port) as half:
        # A declared length counts at once, before the body has arrived.
        half.sendall(head(UNASSIGN, keys[0], 1_400_000) + b"{")
        eventually(lambda: first.post(UNASSIGN, large).status == 503)
        refused = first.post(UNASSIGN, large)
        assert (refused.error["reason"], refused.headers["retry-after"]) == ("ERROR_REASON_OVERLOADED", "1")
        assert second.post(UNASSIGN, large).status == 400
        assert first(QUERY, email="a@example.com").status == 404
        with connect(gateway.port) as other:
            other.sendall(head(UNASSIGN, keys[1], 1_400_000) + b"{")
            eventually(lambda: third.post(UNASSIGN, large).status == 503)
            assert third(QUERY, email="a@example.com").status == 404
    eventually(lambda: first.post(UNASSIGN, large).status == 400)


def test_a_body_in_chunks_counts_as_it_arrives(launch: Launch, server: int, tenant: Tenant) -> None:
    gateway = launch(server, rest_buffered_bytes="1500000", rest_max_body_bytes="1500000")
    rest = Rest(gateway, tenant.api_key)
    lines = [f"POST {PREFIX}{UNASSIGN} HTTP/1.1", "host: x", f"x-api-key: {tenant.api_key}"]
    with connect(gateway.port) as half:
        half.sendall("\r\n".join([*lines, "transfer-encoding: chunked", "\r\n"]).encode())
        half.sendall(b"f4240\r\n" + b" " * 1_000_000 + b"\r\n")
        half.settimeout(0.1)

        def refused() -> bool:
            """The body that is read last is refused."""
            try:
                return half.recv(12) == b"HTTP/1.1 503"
            except TimeoutError:
                return rest.post(UNASSIGN, b" " * 1_000_000).status == 503

        eventually(refused)
    eventually(lambda: rest.post(UNASSIGN, b" " * 1_000_000).status == 400)


def test_tiny_chunks_are_refused(gateway: Gateway, rest: Rest) -> None:
    for key in (rest.api_key, KEY):
        lines = [f"POST {PREFIX}{UNASSIGN} HTTP/1.1", "host: x", f"x-api-key: {key}", "transfer-encoding: chunked"]
        answer = gateway.raw("\r\n".join([*lines, "\r\n"]).encode() + b"1\r\n \r\n" * 20_000)
        assert b"HTTP/1.1 40" in answer
    lines = [f"POST {PREFIX}{QUERY} HTTP/1.1", "host: x", f"x-api-key: {rest.api_key}", "transfer-encoding: chunked"]
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"email": "a@example.com"}') + b"0\r\n\r\n"
    answer = gateway.raw("\r\n".join([*lines, "connection: close", "\r\n"]).encode() + body)
    assert answer.startswith(b"HTTP/1.1 404 ")
