"""What every call passes: key, scope, rate, message, and an end that is always a status and a line in the log."""

from __future__ import annotations  # gRPC's classes are generic to the type checker alone

import time
from typing import TYPE_CHECKING, Any

import grpc

from service.domain.cancellation import Cancellation
from service.domain.errors import Cancelled, InternalError, MalformedRequest, ServiceError, UnknownMethod
from service.grpc_client.metadata import API_KEY
from service.grpc_server import status
from service.grpc_server.admission import request_id
from service.grpc_server.arrival import Arrival, Arriving, served
from service.grpc_server.call import Call, tell
from service.grpc_server.executors import on_executor
from service.grpc_server.parsing import parse
from service.method_table import OPEN_SERVICES
from service.runtime import fairness, log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.grpc_server.admission import Admission
    from service.grpc_server.open_services import OpenServices
    from service.grpc_server.receiver import Receiver
    from service.grpc_server.refusals import Refusals


class Interceptor(grpc.ServerInterceptor):
    """Guards every rpc.

    To gRPC each method streams its requests, as bytes, which on the wire is the same: so a message can be received
    before a thread is given to the call, and is parsed only when the key is good.

    Args:
        admission: lets calls in.
        arriving: hands a call over to its executor.
        calls: runs ordinary calls.
        streams: runs streams of operations, each of which holds a thread.
        open_services: serves the methods that take no key.
        refusals: ends calls of unknown methods.
    """

    def __init__(
        self,
        admission: Admission,
        arriving: Arriving,
        *,
        calls: Receiver,
        streams: Receiver,
        open_services: OpenServices,
        refusals: Refusals,
    ) -> None:
        self._admission = admission
        self._arriving = arriving
        self._calls = calls
        self._streams = streams
        self._open_services = open_services
        self._refusals = refusals
        self._guarded: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Chooses what serves a call. Runs on the one thread that takes all calls in, so it only chooses."""
        method = handler_call_details.method.removeprefix("/")
        is_open = method.partition("/")[0] in OPEN_SERVICES
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = continuation(handler_call_details)
            if handler is None:
                return self._refuse(method)
            if is_open:
                guarded = self._open_services.wrap(handler)
            else:
                guard = self._guard_stream if handler.response_streaming else self._guard
                guarded = guard(method, handler)
            self._guarded[method] = guarded
        if is_open:
            self._arriving.put(self._open_services.receive(method))
        else:
            metadata = handler_call_details.invocation_metadata
            secret = next((value for key, value in metadata if key == API_KEY), None)
            self._arriving.put(self._admission.receive(method, secret))
        return guarded

    def _refuse(self, method: str) -> grpc.RpcMethodHandler[Any, Any]:
        """Serves nothing but an error, whatever kind of rpc the caller takes this for."""

        def behavior(_requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            error = UnknownMethod()
            call = Call(method, Cancellation(), x_request_id=request_id(context))
            tell(call, time.monotonic(), error)
            context.abort_with_status(status.to_status(error, call.id))

        return grpc.stream_stream_rpc_method_handler(on_executor(self._refusals, behavior))

    def _guard(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Reads the request only when the key is good."""

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            arrival = served()
            call = self._admission.arrive(arrival, self._calls, context)
            error: ServiceError | None = None
            try:
                self._admission.admit(call, arrival)
                fairness.begin()
                request = _read(handler, requests, call, arrival)
                call.cancellation.check()
                return handler.unary_unary(request, context)  # type: ignore[misc]  # unary: the table's rpcs are
            except ServiceError as known:
                error = known
            except Exception:  # noqa: BLE001  # whatever it is, the caller gets a status and the log the cause
                error = InternalError()
                log.exception("defect", method=method, call_id=call.id)
            finally:
                fairness.end()
                tell(call, arrival.since, error)
                arrival.end()
            told = status.to_status(error, call.id)
            del error  # its traceback has this frame: see `Admission.arrive`
            context.abort_with_status(told)

        def serialize(answer: Any) -> bytes:
            written: bytes = handler.response_serializer(answer)  # type: ignore[misc]  # the generated code sets it
            self._calls.answer(served(), len(written))
            return written

        return grpc.stream_unary_rpc_method_handler(on_executor(self._calls, behavior), response_serializer=serialize)

    def _guard_stream(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Guards an rpc that streams its answers, in the same way."""

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            arrival = served()
            call = self._admission.arrive(arrival, self._streams, context, stream=True)
            error: ServiceError | None = None
            sent = 0
            try:
                self._admission.admit(call, arrival)
                for answer in handler.unary_stream(_read(handler, requests, call, arrival), context):  # type: ignore[misc]  # as above
                    sent += 1
                    yield answer
            except ServiceError as known:
                error = known
            except Exception:  # noqa: BLE001  # as above
                error = InternalError()
                log.exception("defect", method=method, call_id=call.id)
            finally:
                call.counts["sent"] = sent
                tell(call, arrival.since, error)
                arrival.end()
            if error is not None:
                told = status.to_status(error, call.id)
                del error  # as above
                context.abort_with_status(told)

        return grpc.stream_stream_rpc_method_handler(
            on_executor(self._streams, behavior), response_serializer=handler.response_serializer
        )


def _read(handler: grpc.RpcMethodHandler[Any, Any], requests: Iterator[bytes], call: Call, arrival: Arrival) -> Any:
    try:
        message = next(requests)
    except StopIteration:
        call.cancellation.check()
        raise MalformedRequest from None
    except Exception as broken:  # gRPC raises a bare one when the call has been cancelled
        # gRPC keeps it with the call, and its traceback would hold the call.
        broken.with_traceback(None)
        if arrival.error is not None:
            raise arrival.error from None
        call.cancellation.check()
        raise Cancelled from broken
    arrival.received(len(message))
    return parse(message, handler.request_deserializer)  # type: ignore[arg-type]  # the generated code sets it
