"""Serves health and reflection, which take no key, in a way that no caller can use up."""

from __future__ import annotations  # gRPC's classes are generic to the type checker alone

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from service.domain.errors import MalformedRequest, ServiceError
from service.grpc_server import status
from service.grpc_server.arrival import Arrival, served
from service.grpc_server.executors import EvictingExecutor, on_executor
from service.method_table import OPEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.grpc_server.receiver import Receiver


class OpenServices:
    """Wraps the methods of health and reflection.

    Health's calls are received ahead and take no time, and its watches hold no thread. A stream of reflection holds one
    between its messages, so the oldest gives way to a new one.

    Args:
        calls: runs health's methods.
        streams: runs those of reflection.
        ahead: whether messages are received ahead (see `receiving`). If not, a watch of health holds a thread too.
    """

    def __init__(self, calls: Receiver, streams: EvictingExecutor, *, ahead: bool) -> None:
        self._calls = calls
        self._streams = streams
        self._ahead = ahead

    def receive(self, method: str) -> Arrival:
        """Makes what is known of a call before its message."""
        return Arrival(method, OPEN)

    def wrap(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Has a method served on its executor."""
        if handler.stream_stream is not None:
            return self._wrap_stream(handler)
        if handler.unary_stream is not None and not self._ahead:
            return self._wrap_watch(handler)

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext, *send: Any) -> Any:
            arrival = served()
            serve: Any = handler.unary_unary or handler.unary_stream
            if not send:  # a watch holds no room
                arrival.has_end = context.add_callback(partial(self._calls.over, arrival))
            error: ServiceError | None = None
            try:
                return serve(_read(handler, requests, arrival), context, *send)
            except ServiceError as known:
                error = known
            finally:
                arrival.end()
            told = status.to_status(error, secrets.token_hex(8))
            del error
            context.abort_with_status(told)

        run: Any = on_executor(self._calls, behavior)
        if handler.unary_unary is not None:
            return grpc.stream_unary_rpc_method_handler(run, response_serializer=handler.response_serializer)
        run.experimental_non_blocking = True  # it is given what sends, instead of being asked for answers by a thread
        return grpc.stream_stream_rpc_method_handler(run, response_serializer=handler.response_serializer)

    def _wrap_watch(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        watch: Any = handler.unary_stream
        return self._on_streams(handler, lambda requests, context: watch(next(requests), context))

    def _wrap_stream(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        serve: Any = handler.stream_stream
        return self._on_streams(handler, serve)

    def _on_streams(
        self,
        handler: grpc.RpcMethodHandler[Any, Any],
        serve: Callable[[Iterator[Any], grpc.ServicerContext], Iterator[Any]],
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Has messages read here: gRPC logs a traceback of each that it cannot read, and never ends the call."""
        read: Any = handler.request_deserializer

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                yield from serve(map(read, requests), context)
            except DecodeError:
                pass
            else:
                return
            context.abort_with_status(status.to_status(MalformedRequest(), secrets.token_hex(8)))

        return grpc.stream_stream_rpc_method_handler(
            on_executor(self._streams, behavior), response_serializer=handler.response_serializer
        )


def _read(handler: grpc.RpcMethodHandler[Any, Any], requests: Iterator[bytes], arrival: Arrival) -> Any:
    if arrival.error is not None:
        raise arrival.error
    try:
        message = next(requests)
    except StopIteration:
        raise MalformedRequest from None
    arrival.received(len(message))
    try:
        return handler.request_deserializer(message)  # type: ignore[misc]  # the generated code sets it
    except DecodeError as error:
        raise MalformedRequest from error
