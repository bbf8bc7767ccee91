"""Several addresses: each has a limit of connections of its own, so strangers on one keep no caller of another out."""

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.cli.conftest import Command, Launch, Server
from tests.grpc_server.conftest import eventually
from tests.grpc_server.http2 import Caller
from tests.rest_gateway.rest import Http

pytestmark = pytest.mark.process

LIMIT = 20
TWO = ("--grpc-address", "127.0.0.1:0") * 2


def ports(server: Server) -> list[int]:
    """Lists the ports of all addresses, in their order."""

    def found() -> list[int]:
        return [event["port"] for event in server.events if event["event"] == "serving"]

    eventually(lambda: len(found()) == len(TWO) // 2)
    return found()


def answers(port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}", (("grpc.use_local_subchannel_pool", 1),)) as channel:
        try:
            health: Any = health_pb2_grpc.HealthStub(channel)
            health.Check(health_pb2.HealthCheckRequest(), timeout=60)
        except grpc.RpcError:
            return False
    return True


@contextmanager
def strangers(port: int, connections: int) -> Iterator[None]:
    """Takes all connections of a port, without a call."""
    with ExitStack() as stack:
        for _ in range(connections):
            stack.enter_context(closing(Caller(port)))
        eventually(lambda: not answers(port))
        yield


def test_strangers_who_hold_all_connections_of_one_address_keep_no_caller_of_another_out(
    sqlite: Command, launch: Launch
) -> None:
    server = launch(sqlite, *TWO, DEVICE_ASSIGNMENT_CONNECTIONS=str(LIMIT))
    public, own = ports(server)
    assert server.port == public
    with strangers(public, LIMIT):
        assert answers(own)
    eventually(lambda: answers(public))
    assert server.stop(signal.SIGTERM).code == 0


def test_workers_serve_all_addresses_and_rest_calls_the_last(sqlite: Command, launch: Launch) -> None:
    server = launch(sqlite, *TWO, "--rest-address", "127.0.0.1:0", DEVICE_ASSIGNMENT_CONNECTIONS=str(LIMIT))
    public, own = ports(server)
    with strangers(public, LIMIT):
        assert answers(own)
        # The gateway connects when a call needs it: this is its first, of a key that there is not.
        key = {"x-api-key": "da_" + 43 * "x"}
        asked = Http(server.rest_port).send("POST", "/api/ext-v1/customer/queryCustomer", b"{}", headers=key)
        assert asked.status == 401
    assert server.stop(signal.SIGTERM).code == 0


def test_an_address_that_cannot_be_had_is_named_and_not_another(sqlite: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        free = f"127.0.0.1:{other.getsockname()[1]}"
        other.close()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = sqlite("serve", "--grpc-address", free, "--grpc-address", address)
    assert (answer.code, answer.err) == (1, f"error: cannot listen on {address}: Address already in use\n")


def test_an_address_is_not_given_twice(plain: Command) -> None:
    answer = plain("serve", "--grpc-address", "127.0.0.1:50051", "--grpc-address", "127.0.0.1:50051")
    assert answer.code == 2
    assert "127.0.0.1:50051 is given twice" in answer.err
