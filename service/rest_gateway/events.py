"""Serves the rpcs that stream their answers, as server-sent events."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from service.grpc_client.metadata import RESUME_TOKEN
from service.rest_gateway import asgi, call_errors, errors, headers, request_state, requests
from service.rest_gateway.asgi import ClientDisconnected, Receive, Scope, Send
from service.rest_gateway.headers import CallContext
from service.rest_gateway.http_error import HTTPError
from service.rest_gateway.resources import Resources
from service.rest_gateway.routes import Route
from service.rest_gateway.violations import TooManyViolations, Violations
from service.rest_gateway.writer import write

if TYPE_CHECKING:
    from google.protobuf.message import Message

_HEADERS = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
_RETRY_MILLISECONDS = 1_000


class EventStreamApp:
    """The ASGI application of one route.

    An event's `id` is the resume token; its `data` is the message. The header `Last-Event-ID` overrides the parameters
    `after` and `fromNow`, because a browser that reconnects sends its first query again.

    Args:
        route: the route.
        resources: what all routes share.
        keep_alive_seconds: how often a stream without events sends a comment.
        stopping: is set when streams have to end.
    """

    def __init__(self, route: Route, resources: Resources, keep_alive_seconds: float, stopping: asyncio.Event) -> None:
        method = route.method
        self._route = route
        self._resources = resources
        self._requests = requests.RequestReader(route, 0, resources.thread)
        self._keep_alive_seconds = keep_alive_seconds
        self._stopping = stopping
        self._answer: type[Message] = GetMessageClass(method.output_type)
        self._rpc: Any = resources.channels.unary_stream(f"/{method.containing_service.full_name}/{method.name}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one stream, until the server or the client ends it."""
        state = request_state.of(scope)
        state.route = self._route.full_path
        violations = Violations()
        try:
            context = headers.read_context(state, violations, None)
            if (known := self._resources.keys.owner(context.key)) is not None:
                request_state.set_authenticated(scope, known)  # even if the server cannot be asked now
            with self._resources.key_limits.request(context.key):
                owner = await self._resources.keys.check(context.key, context.seconds or self._resources.seconds)
                request_state.set_authenticated(scope, owner)
                request = self._read_request(scope, violations)
                if self._stopping.is_set():
                    raise errors.stopping()
                with self._resources.streams.acquire(owner):
                    await self._stream(scope, receive, send, request, context)
        except TooManyViolations:
            raise errors.invalid_fields(violations) from None

    def _read_request(self, scope: Scope, violations: Violations) -> Any:
        request: Any = self._requests.read_query(scope, violations)
        last = request_state.of(scope).headers.get(b"last-event-id")
        if last:
            request.after, request.from_now = last.decode("latin-1"), False
        if violations.total:
            raise errors.invalid_fields(violations)
        return request

    async def _stream(self, scope: Scope, receive: Receive, send: Send, request: Any, context: CallContext) -> None:
        state = request_state.of(scope)
        call = self._rpc(request.SerializeToString(), metadata=context.metadata, timeout=context.seconds)
        watch = asyncio.create_task(_wait_for_end(receive, self._stopping))
        try:
            token = await self._begin(call, watch)
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            # The first id lets a client resume that disconnects before the first event.
            head = f"retry: {_RETRY_MILLISECONDS}\nid: {token}\n\n"
            await send({"type": "http.response.body", "body": head.encode(), "more_body": True})
            error = await self._send_events(call, watch, send)
            end = b"" if error is None else b"event: error\ndata: " + error.body(state.request_id) + b"\n"
            state.error = error
            await send({"type": "http.response.body", "body": end})
        finally:
            watch.cancel()
            call.cancel()

    async def _begin(self, call: Any, watch: asyncio.Task[bool]) -> str:
        """Waits for the stream's first resume token. Raises `HTTPError` or `ClientDisconnected` if it does not come."""
        start = asyncio.ensure_future(call.initial_metadata())
        await asyncio.wait({start, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            raise errors.stopping() if watch.result() else ClientDisconnected
        token = dict(start.result() or ()).get(RESUME_TOKEN)
        if token is None:
            raise await _error_of(call) or errors.internal()
        return str(token)

    async def _send_events(self, call: Any, watch: asyncio.Task[bool], send: Send) -> HTTPError | None:
        """Sends the events. Returns the error that ended the stream; None if it ended with OK."""
        reading: asyncio.Future[Any] = asyncio.ensure_future(call.read())
        try:
            while True:
                done, _ = await asyncio.wait(
                    {reading, watch}, timeout=self._keep_alive_seconds, return_when=asyncio.FIRST_COMPLETED
                )
                if watch in done:
                    return errors.stopping() if watch.result() else None
                if not done:
                    await send({"type": "http.response.body", "body": b": still here\n\n", "more_body": True})
                    continue
                try:
                    answer = reading.result()
                except grpc.RpcError as error:
                    return call_errors.from_rpc_error(error)
                if answer is grpc.aio.EOF:
                    return await _error_of(call)
                message: Any = self._answer.FromString(answer)
                event = f"event: operation\nid: {message.resume_token}\ndata: {write(message)}\n\n"
                # Waits while the client does not read, so that nothing more is read from the server.
                await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
                reading = asyncio.ensure_future(call.read())
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, grpc.RpcError):
                await reading


async def _wait_for_end(receive: Receive, stopping: asyncio.Event) -> bool:
    """Waits until the client disconnects or the gateway stops. Returns whether the gateway stops."""
    disconnected = asyncio.create_task(asgi.wait_for_disconnect(receive))
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({disconnected, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        disconnected.cancel()
        stop.cancel()
    return stopping.is_set()


async def _error_of(call: Any) -> HTTPError | None:
    """Returns the error that a call ended with; None for OK."""
    if await call.code() is grpc.StatusCode.OK:
        return None
    error = grpc.aio.AioRpcError(
        await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )
    return call_errors.from_rpc_error(error)
