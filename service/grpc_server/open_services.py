"""Serves health and reflection, which take no key, within limits of their own."""

from __future__ import annotations  # gRPC's classes are generic to the type checker alone

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from service.domain.errors import MalformedRequest, ServiceError
from service.grpc_server import status
from service.grpc_server.incoming_call import IncomingCall, served
from service.grpc_server.on_executor import on_executor
from service.method_table import OPEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.grpc_server.evicting_executor import EvictingExecutor
    from service.grpc_server.message_receiver import MessageReceiver


class OpenServices:
    """Wraps the methods of health and reflection.

    Health's calls take little time, and its watches hold no thread. A stream of reflection holds a thread, also between
    messages, so the oldest one is cancelled for a new one.

    Args:
        calls: runs health's methods.
        streams: runs those of reflection.
        ahead: whether a message is received before a thread serves the call (see `receiving`). If not, a watch of
            health holds a thread, too.
    """

    def __init__(self, calls: MessageReceiver, streams: EvictingExecutor, *, ahead: bool) -> None:
        self._calls = calls
        self._streams = streams
        self._ahead = ahead

    def receive(self, method: str) -> IncomingCall:
        """Returns what is known of a call before its message."""
        return IncomingCall(method, OPEN)

    def wrap(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Returns a handler that serves the method on its executor."""
        if handler.stream_stream is not None:
            return self._wrap_stream(handler)
        if handler.unary_stream is not None and not self._ahead:
            return self._wrap_watch(handler)

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext, *send: Any) -> Any:
            incoming = served()
            serve: Any = handler.unary_unary or handler.unary_stream
            if not send:  # a watch takes no place
                incoming.has_end = context.add_callback(partial(self._calls.over, incoming))
            error: ServiceError | None = None
            try:
                return serve(_read(handler, requests, incoming), context, *send)
            except ServiceError as known:
                error = known
            finally:
                incoming.end()
            ended_with = status.to_status(error, secrets.token_hex(8))
            del error
            context.abort_with_status(ended_with)

        run: Any = on_executor(self._calls, behavior)
        if handler.unary_unary is not None:
            return grpc.stream_unary_rpc_method_handler(run, response_serializer=handler.response_serializer)
        run.experimental_non_blocking = True  # it gets a function that sends, and no thread asks it for answers
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
        """Parses messages here: gRPC logs a traceback of each that it cannot parse, and never ends the call."""
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


def _read(handler: grpc.RpcMethodHandler[Any, Any], requests: Iterator[bytes], incoming: IncomingCall) -> Any:
    if incoming.error is not None:
        raise incoming.error
    try:
        message = next(requests)
    except StopIteration:
        raise MalformedRequest from None
    incoming.received(len(message))
    try:
        return handler.request_deserializer(message)  # type: ignore[misc]  # the generated code sets it
    except DecodeError as error:
        raise MalformedRequest from error
