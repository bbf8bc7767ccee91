"""A stream that a stopping server refuses unseen ends, also where nothing listens any more."""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import closing

import grpc
import pytest

from service.grpc_client.connection import Connection
from service.grpc_client.failure import CallFailed
from service.rest_gateway.channel_pool import ChannelPool
from tests.grpc_server.http2 import refuse_the_first_call

WATCH = "WatchOperations"
PATH = f"/deviceassignment.v1.DeviceAssignmentService/{WATCH}"


def from_a_command(address: str) -> str:
    with closing(Connection(address, None)) as connection:
        with pytest.raises(CallFailed) as raised:
            list(connection.stream(WATCH, {}, "key")[1])
        return raised.value.code


def from_the_gateway(address: str) -> str:
    async def watch() -> str:
        async with ChannelPool(address, None) as pool:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                async for _ in pool.unary_stream(PATH)(b""):
                    pass
            return raised.value.code().name

    return asyncio.run(watch())


@pytest.mark.parametrize("watch", [from_a_command, from_the_gateway])
def test_a_stream_refused_by_a_server_that_stops_ends(watch: Callable[[str], str]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    refusing = threading.Thread(target=refuse_the_first_call, args=(listener,))
    refusing.start()
    assert watch(f"127.0.0.1:{listener.getsockname()[1]}") == "UNAVAILABLE"
    refusing.join()
