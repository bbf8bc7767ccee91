"""What every call passes: the checks of key, scope and rate, the message, and at the end a status and a log line."""

from __future__ import annotations  # gRPC's classes are generic to the type checker alone

import time
from typing import TYPE_CHECKING, Any

import grpc

from service.domain.cancellation import Cancellation
from service.domain.errors import Cancelled, InternalError, MalformedRequest, ServiceError, UnknownMethod
from service.grpc_client.metadata import API_KEY
from service.grpc_server import status
from service.grpc_server.admission import request_id
from service.grpc_server.call import Call, log_end
from service.grpc_server.incoming_call import CallHandoff, IncomingCall, served
from service.grpc_server.on_executor import on_executor
from service.grpc_server.parsing import parse
from service.method_table import OPEN_SERVICES
from service.runtime import fairness, log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from service.grpc_server.admission import Admission
    from service.grpc_server.message_receiver import MessageReceiver
    from service.grpc_server.open_services import OpenServices
    from service.grpc_server.refusals import Refusals


class Interceptor(grpc.ServerInterceptor):
    """Wraps every rpc.

    To gRPC each method streams its requests, as bytes, which is the same on the wire. So a message can be received
    before a thread serves the call, and is parsed only if the key is valid.

    Args:
        admission: admits calls.
        handoff: carries a call to its executor.
        calls: runs ordinary calls.
        streams: runs streams of operations, each of which holds a thread.
        open_services: serves the methods that take no key.
        refusals: ends calls of unknown methods.
    """

    def __init__(
        self,
        admission: Admission,
        handoff: CallHandoff,
        *,
        calls: MessageReceiver,
        streams: MessageReceiver,
        open_services: OpenServices,
        refusals: Refusals,
    ) -> None:
        self._admission = admission
        self._handoff = handoff
        self._calls = calls
        self._streams = streams
        self._open_services = open_services
        self._refusals = refusals
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Returns what serves a call. Runs on the thread that accepts all calls, so it does nothing else."""
        method = handler_call_details.method.removeprefix("/")
        is_open = method.partition("/")[0] in OPEN_SERVICES
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = continuation(handler_call_details)
            if handler is None:
                return self._refuse(method)
            if is_open:
                wrapped = self._open_services.wrap(handler)
            else:
                wrap = self._wrap_stream if handler.response_streaming else self._wrap
                wrapped = wrap(method, handler)
            self._wrapped[method] = wrapped
        if is_open:
            self._handoff.put(self._open_services.receive(method))
        else:
            metadata = handler_call_details.invocation_metadata
            secret = next((value for key, value in metadata if key == API_KEY), None)
            self._handoff.put(self._admission.receive(method, secret))
        return wrapped

    def _refuse(self, method: str) -> grpc.RpcMethodHandler[Any, Any]:
        """Returns a handler that ends a call of an unknown method with an error, whatever kind of rpc it is."""

        def behavior(_requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            error = UnknownMethod()
            call = Call(method, Cancellation(), x_request_id=request_id(context))
            log_end(call, time.monotonic(), error)
            context.abort_with_status(status.to_status(error, call.id))

        return grpc.stream_stream_rpc_method_handler(on_executor(self._refusals, behavior))

    def _wrap(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Wraps an rpc that has one answer. The request is read only if the key is valid."""

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            incoming = served()
            call = self._admission.open(incoming, self._calls, context)
            error: ServiceError | None = None
            try:
                self._admission.admit(call, incoming)
                fairness.begin()
                request = _read(handler, requests, call, incoming)
                call.cancellation.check()
                return handler.unary_unary(request, context)  # type: ignore[misc]  # unary: the table's rpcs are
            except ServiceError as known:
                error = known
            except Exception:  # noqa: BLE001  # any defect ends as a status, with its cause in the log
                error = InternalError()
                log.exception("defect", method=method, call_id=call.id)
            finally:
                fairness.end()
                log_end(call, incoming.since, error)
                incoming.end()
            ended_with = status.to_status(error, call.id)
            del error  # its traceback refers to this frame: a cycle, see `Admission.open`
            context.abort_with_status(ended_with)

        def serialize(answer: Any) -> bytes:
            written: bytes = handler.response_serializer(answer)  # type: ignore[misc]  # the generated code sets it
            self._calls.answer(served(), len(written))
            return written

        return grpc.stream_unary_rpc_method_handler(on_executor(self._calls, behavior), response_serializer=serialize)

    def _wrap_stream(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Wraps an rpc that streams its answers, in the same way."""

        def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            incoming = served()
            call = self._admission.open(incoming, self._streams, context, stream=True)
            error: ServiceError | None = None
            sent = 0
            try:
                self._admission.admit(call, incoming)
                for answer in handler.unary_stream(_read(handler, requests, call, incoming), context):  # type: ignore[misc]  # as above
                    sent += 1
                    yield answer
            except ServiceError as known:
                error = known
            except Exception:  # noqa: BLE001  # as above
                error = InternalError()
                log.exception("defect", method=method, call_id=call.id)
            finally:
                call.counts["sent"] = sent
                log_end(call, incoming.since, error)
                incoming.end()
            if error is not None:
                ended_with = status.to_status(error, call.id)
                del error  # as above
                context.abort_with_status(ended_with)

        return grpc.stream_stream_rpc_method_handler(
            on_executor(self._streams, behavior), response_serializer=handler.response_serializer
        )


def _read(
    handler: grpc.RpcMethodHandler[Any, Any], requests: Iterator[bytes], call: Call, incoming: IncomingCall
) -> Any:
    try:
        message = next(requests)
    except StopIteration:
        call.cancellation.check()
        raise MalformedRequest from None
    except Exception as broken:  # gRPC raises a bare one when the call has been cancelled
        # gRPC keeps it with the call, and its traceback would refer to the call.
        broken.with_traceback(None)
        if incoming.error is not None:
            raise incoming.error from None
        call.cancellation.check()
        raise Cancelled from broken
    incoming.received(len(message))
    return parse(message, handler.request_deserializer)  # type: ignore[arg-type]  # the generated code sets it
