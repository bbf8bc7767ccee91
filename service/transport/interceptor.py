"""What every call passes: key, scope, rate, message, and an end that is always a status and a line in the log."""

from __future__ import annotations  # gRPC's classes are generic to the type checker alone

import threading
import time
from concurrent.futures import ThreadPoolExecutor
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
    ScopeMissing,
    ServiceError,
    UnknownMethod,
)
from service.domain.interruption import Interruption
from service.transport import status
from service.transport.call import Call, enter
from service.transport.lanes import Lane, on_lane
from service.transport.metadata import API_KEY, LOGGED_REQUEST_ID, X_REQUEST_ID
from service.transport.scopes import OPEN_SERVICES, SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.transport.authentication import Authenticator, RateLimit

# gRPC gives a far future for a call without a deadline.
_NO_DEADLINE_SECONDS = 10 * 365 * 86_400.0


class Interceptor(grpc.ServerInterceptor):
    """Guards every rpc.

    Args:
        authenticator: checks keys.
        rate_limit: holds them to their rate.
        calls: the lane of ordinary calls.
        streams: the lane of streams, each of which holds a thread.
        open_lanes: the lanes of the services that take no key, by the service's name.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        rate_limit: RateLimit,
        calls: Lane,
        streams: Lane,
        open_lanes: dict[str, Lane],
    ) -> None:
        self._authenticator = authenticator
        self._rate_limit = rate_limit
        self._calls = calls
        self._streams = streams
        self._open_lanes = open_lanes
        self._refusals = Lane("refusal", 1, 1_000_000)
        # Stopping a statement can block on the network; a cancelled call must not hold up the others.
        self._stoppers = ThreadPoolExecutor(4, thread_name_prefix="stop-statement")
        self._guarded: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._open_calls = 0
        self._count = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether every call that came in has had its answer sent."""
        return self._open_calls == 0 and self._calls.idle

    @property
    def streaming(self) -> bool:
        """Whether a stream of operations is open."""
        return not self._streams.idle

    def close(self) -> None:
        """Lets the threads end."""
        for lane in {self._calls, self._streams, self._refusals, *self._open_lanes.values()}:
            lane.close()
        self._stoppers.shutdown(wait=False)

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
            call = Call(method, Interruption(), x_request_id=_request_id(context))
            _log_call(call, time.monotonic(), error)
            context.abort_with_status(status.to_status(error, call.id))

        return grpc.stream_stream_rpc_method_handler(on_lane(self._refusals, behavior))

    def _guard(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Takes the request as bytes and reads it only when the key is good.

        To gRPC the method streams its request, which on the wire is the same: but a caller who sends no message then
        keeps a thread waiting only with a good key.
        """

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            started = time.monotonic()
            call = self._arrived(method, context)
            error: ServiceError | None = None
            turns.begin()
            try:
                self._admit(call, context)
                request = _read(handler, requests, call)
                call.interruption.check()
                return handler.unary_unary(request, context)  # type: ignore[misc]  # unary: the table's rpcs are
            except ServiceError as known:
                error = known
            except Exception:  # noqa: BLE001  # whatever it is, the caller gets a status and the log the cause
                error = InternalError()
                log.exception("defect", method=method, call_id=call.id)
            finally:
                turns.end()
                _log_call(call, started, error)
            told = status.to_status(error, call.id)
            del error  # its traceback has this frame: see `_arrived`
            context.abort_with_status(told)

        return grpc.stream_unary_rpc_method_handler(
            on_lane(self._calls, behavior), response_serializer=handler.response_serializer
        )

    def _guard_stream(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Guards an rpc that streams its answers, in the same way."""

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            started = time.monotonic()
            call = self._arrived(method, context, stream=True)
            error: ServiceError | None = None
            sent = 0
            try:
                self._admit(call, context)
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
                _log_call(call, started, error)
            if error is not None:
                told = status.to_status(error, call.id)
                del error  # as above
                context.abort_with_status(told)

        return grpc.stream_stream_rpc_method_handler(
            on_lane(self._streams, behavior), response_serializer=handler.response_serializer
        )

    def _arrived(self, method: str, context: grpc.ServicerContext, *, stream: bool = False) -> Call:
        seconds = context.time_remaining()
        has_deadline = seconds is not None and seconds < _NO_DEADLINE_SECONDS
        deadline = time.monotonic() + seconds if has_deadline else None
        call = Call(method, Interruption(deadline), x_request_id=_request_id(context))
        enter(call)
        if stream:
            call.cancel = context.cancel

        def over() -> None:
            # gRPC's context holds the call, which must not hold the context: what refers to each other is freed by the
            # collector alone, and all calls wait while it frees the hundreds that have gathered.
            call.cancel = _nothing
            with self._count:
                self._open_calls -= not stream
            if call.interruption.cancel():
                self._stoppers.submit(call.interruption.stop)

        with self._count:
            self._open_calls += not stream
        if not context.add_callback(over):
            over()
        return call

    def _admit(self, call: Call, context: grpc.ServicerContext) -> None:
        call.interruption.check()
        secret = next((value for key, value in context.invocation_metadata() if key == API_KEY), None)
        call.principal = self._authenticator.principal(secret, call.interruption)
        scope = SCOPES.get(call.method, "")
        if scope not in call.principal.scopes:
            raise ScopeMissing(scope)
        self._rate_limit.take(call.principal.key_id)

        def recheck() -> None:
            self._authenticator.principal(secret, Interruption())

        call.recheck = recheck


def _nothing() -> None:
    """Cancels a call that is over."""


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


def _request_id(context: grpc.ServicerContext) -> str | None:
    given = next((value for key, value in context.invocation_metadata() if key == X_REQUEST_ID), None)
    return given if isinstance(given, str) and LOGGED_REQUEST_ID.fullmatch(given) else None


def _log_call(call: Call, started: float, error: ServiceError | None) -> None:
    log.soon(
        "call",
        method=call.method,
        status="OK" if error is None else status.name_of(error),
        reason=None if error is None else error.reason,
        duration_ms=round((time.monotonic() - started) * 1000, 3),
        organization_id=call.principal and call.principal.organization_id,
        key_id=call.principal and call.principal.key_id,
        call_id=call.id,
        x_request_id=call.x_request_id,
        **call.counts,
    )
