"""What the server uses of grpcio's private parts is there, and does what it is used for. See docs/inner-parts.md."""

import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import grpc._server as inner
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # its types leave out what is inner

from service.grpc_server.on_executor import on_executor


class Recording(ThreadPoolExecutor):
    """Records what gRPC submits."""

    def __init__(self, name: str) -> None:
        super().__init__(2, name)
        self.submitted: list[tuple[Any, ...]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **options: Any) -> "Future[Any]":
        """Records the arguments of a call."""
        self.submitted.append(args)
        return super().submit(fn, *args, **options)


@contextmanager
def served(executor: Recording, behaviors: dict[str, Any]) -> Iterator[Any]:
    """Serves methods whose messages are bytes, and connects to them."""
    server = grpc.server(executor)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("s", behaviors),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(None).wait()


def test_grpc_submits_a_call_with_the_arguments_that_receiving_expects() -> None:
    def stream(requests: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from requests

    def unary(requests: Iterator[bytes], _context: grpc.ServicerContext) -> bytes:
        return b"".join(requests)

    def deserializer(message: bytes) -> bytes:
        return message

    def serializer(message: bytes) -> bytes:
        return message

    executor = Recording("all")
    handlers = {
        "Stream": grpc.stream_stream_rpc_method_handler(stream, deserializer, serializer),
        "Unary": grpc.stream_unary_rpc_method_handler(unary, deserializer, serializer),
    }
    with served(executor, handlers) as channel:
        assert list(channel.stream_stream("/s/Stream")(iter([b"a", b"b"]), timeout=60)) == [b"a", b"b"]
        assert channel.stream_unary("/s/Unary")(iter([b"a", b"b"]), timeout=60) == b"ab"
    targets = [inner._stream_response_in_pool, inner._unary_response_in_pool]
    for args, target, behavior in zip(executor.submitted, targets, (stream, unary), strict=True):
        assert args[0] is target
        assert callable(args[1].call.start_server_batch)
        assert callable(args[1].call.peer)
        assert callable(args[1].call.cancel)
        assert isinstance(args[2], inner._RPCState)
        assert args[3] is behavior
        assert isinstance(args[4](), Iterator)
        assert args[5:] == (deserializer, serializer)


def test_grpc_has_what_receiving_uses() -> None:
    assert list(inspect.signature(inner._receive_message).parameters) == ["state", "call", "request_deserializer"]
    assert list(inspect.signature(inner._is_rpc_state_active).parameters) == ["state"]
    assert list(inspect.signature(inner._send_message).parameters) == ["state", "token"]
    assert list(inspect.signature(inner._get_initial_metadata_operation).parameters) == ["state", "metadata"]
    for token in (inner._RECEIVE_MESSAGE_TOKEN, inner._SEND_MESSAGE_TOKEN):
        assert isinstance(token, str)
    assert cygrpc.ReceiveMessageOperation(0) is not None
    assert cygrpc.SendMessageOperation(b"", 0) is not None
    state: Any = inner._RPCState()  # type: ignore[no-untyped-call]  # grpcio's
    for name in ("condition", "request", "due", "initial_metadata_allowed"):
        assert hasattr(state, name), name
    assert list(inspect.signature(inner._Context.__init__).parameters)[1:] == [
        "rpc_event",
        "state",
        "request_deserializer",
    ]
    source = inspect.getsource(inner._Context.__init__)
    assert "self._rpc_event = rpc_event" in source
    assert "self._state = state" in source


@pytest.mark.parametrize("own", [False, True])
def test_grpc_runs_a_behaviour_on_the_executor_that_it_names(own: bool) -> None:  # noqa: FBT001  # a parameter
    threads: list[str] = []

    def behavior(message: bytes, _context: grpc.ServicerContext) -> bytes:
        threads.append(threading.current_thread().name)
        return message

    executor, other = Recording("all"), Recording("other")
    handlers: dict[str, Any] = {
        "Call": grpc.unary_unary_rpc_method_handler(on_executor(other, behavior) if own else behavior)
    }
    with served(executor, handlers) as channel:
        assert channel.unary_unary("/s/Call")(b"a", timeout=60) == b"a"
    assert [name.partition("_")[0] for name in threads] == ["other" if own else "all"]
