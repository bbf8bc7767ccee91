"""What every call passes: key, scope, rate, message, and an end that is always a status and a line in the log."""

from __future__ import annotations  # gRPC's classes are generic to the type checker alone

import time
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from service import log
from service.domain import turns
from service.domain.errors import (
    Cancelled,
    InternalError,
    MalformedRequest,
    Overloaded,
    ServiceError,
    UnknownMethod,
)
from service.domain.interruption import Interruption
from service.transport import status
from service.transport.admission import request_id
from service.transport.call import Call, tell
from service.transport.lanes import Lane, on_lane
from service.transport.scopes import OPEN_SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.transport.admission import Admission


class Interceptor(grpc.ServerInterceptor):
    """Guards every rpc.

    Args:
        admission: lets calls in.
        calls: the lane of ordinary calls.
        streams: the lane of streams, each of which holds a thread.
        open_lanes: the lanes of the services that take no key, by the service's name.
    """

    def __init__(
        self,
        admission: Admission,
        calls: Lane,
        streams: Lane,
        open_lanes: dict[str, Lane],
    ) -> None:
        self._admission = admission
        self._calls = calls
        self._streams = streams
        self._open_lanes = open_lanes
        self._refusals = Lane("refusal", 1, 1_000_000)
        self._guarded: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    @property
    def idle(self) -> bool:
        """Whether every call that came in has had its answer sent."""
        return self._admission.idle and self._calls.idle

    @property
    def streaming(self) -> bool:
        """Whether a stream of operations is open."""
        return not self._streams.idle

    def close(self) -> None:
        """Lets the threads end."""
        for lane in {self._calls, self._streams, self._refusals, *self._open_lanes.values()}:
            lane.close()
        self._admission.close()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Chooses what serves a call. Runs on the one thread that takes all calls in, so it only chooses."""
        method = handler_call_details.method.removeprefix("/")
        known = self._guarded.get(method)
        handler = known or continuation(handler_call_details)
        if handler is None:
            return self._refuse(method, UnknownMethod())
        service = method.partition("/")[0]
        lane = self._open_lanes.get(service, self._streams if handler.response_streaming else self._calls)
        if lane.full:
            return self._refuse(method, Overloaded())
        if known is not None:
            return known
        if service in OPEN_SERVICES:
            return _opened(handler, lane)
        guard = self._guard_stream if handler.response_streaming else self._guard
        guarded = self._guarded[method] = guard(method, handler)
        return guarded

    def _refuse(self, method: str, error: ServiceError) -> grpc.RpcMethodHandler[Any, Any]:
        """Serves nothing but an error, whatever kind of rpc the caller takes this for."""

        def behavior(_requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            call = Call(method, Interruption(), x_request_id=request_id(context))
            tell(call, time.monotonic(), error)
            context.abort_with_status(status.to_status(error, call.id))

        return grpc.stream_stream_rpc_method_handler(on_lane(self._refusals, behavior))

    def _guard(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Takes the request as bytes and reads it only when the key is good.

        To gRPC the method streams its request, which on the wire is the same: but a caller who sends no message then
        keeps a thread waiting only with a good key.
        """

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            started = time.monotonic()
            call = self._admission.arrive(method, context)
            error: ServiceError | None = None
            try:
                self._admission.admit(call, context)
                request = _read(handler, requests, call)
                turns.begin()
                call.interruption.check()
                return handler.unary_unary(request, context)  # type: ignore[misc]  # unary: the table's rpcs are
            except ServiceError as known:
                error = known
            except Exception:  # noqa: BLE001  # whatever it is, the caller gets a status and the log the cause
                error = InternalError()
                log.exception("defect", method=method, call_id=call.id)
            finally:
                turns.end()
                tell(call, started, error)
            told = status.to_status(error, call.id)
            del error  # its traceback has this frame: see `Admission.arrive`
            context.abort_with_status(told)

        return grpc.stream_unary_rpc_method_handler(
            on_lane(self._calls, behavior), response_serializer=handler.response_serializer
        )

    def _guard_stream(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Guards an rpc that streams its answers, in the same way."""

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            started = time.monotonic()
            call = self._admission.arrive(method, context, stream=True)
            error: ServiceError | None = None
            sent = 0
            try:
                self._admission.admit(call, context)
                for answer in handler.unary_stream(_read(handler, requests, call), context):  # type: ignore[misc]  # as above
                    sent += 1
                    yield answer
            except ServiceError as known:
                error = known
            except Exception:  # noqa: BLE001  # as above
                error = InternalError()
                log.exception("defect", method=method, call_id=call.id)
            finally:
                call.counts["sent"] = sent
                tell(call, started, error)
            if error is not None:
                told = status.to_status(error, call.id)
                del error  # as above
                context.abort_with_status(told)

        return grpc.stream_stream_rpc_method_handler(
            on_lane(self._streams, behavior), response_serializer=handler.response_serializer
        )


def _read(handler: grpc.RpcMethodHandler[Any, Any], requests: Iterator[bytes], call: Call) -> Any:
    try:
        message = next(requests)
    except StopIteration:
        raise MalformedRequest from None
    except Exception as broken:  # gRPC raises a bare one when the caller is gone
        # gRPC keeps it with the call, and its traceback would hold the call.
        broken.with_traceback(None)
        call.interruption.check()
        raise Cancelled from broken
    try:
        return handler.request_deserializer(message)  # type: ignore[misc]  # the generated code sets it
    except DecodeError as error:
        raise MalformedRequest from error


def _opened(handler: grpc.RpcMethodHandler[Any, Any], lane: Lane) -> grpc.RpcMethodHandler[Any, Any]:
    """Puts a standard service's method on its lane; health's watch sees to that itself and holds no thread."""
    codecs = (handler.request_deserializer, handler.response_serializer)
    if handler.unary_unary is not None:
        return grpc.unary_unary_rpc_method_handler(on_lane(lane, handler.unary_unary), *codecs)
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(on_lane(lane, handler.stream_stream), *codecs)
    return handler
