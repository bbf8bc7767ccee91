"""Serves an rpc that streams its answers, as server-sent events."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from service.grpc_client import failure
from service.grpc_client.metadata import RESUME_TOKEN
from service.rest_gateway import exchange, failures, headers, requests
from service.rest_gateway.exchange import Receive, Scope, Send
from service.rest_gateway.failures import Refused
from service.rest_gateway.headers import Context
from service.rest_gateway.routes import Route
from service.rest_gateway.shared import Shared
from service.rest_gateway.violations import Enough, Violations
from service.rest_gateway.writer import write

if TYPE_CHECKING:
    from google.protobuf.message import Message

_HEADERS = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
_RETRY_MILLISECONDS = 1_000


class Events:
    """An application for one route.

    An event's `id` is the resume token; its `data` is the message. The header `Last-Event-ID` goes before the query's
    `after` and `fromNow`: a browser that comes back sends the first query again.

    Args:
        route: the route.
        shared: what all routes share.
        keep_alive_seconds: how often a comment is sent where there is nothing to tell.
        stopping: is set when streams have to end.
    """

    def __init__(self, route: Route, shared: Shared, keep_alive_seconds: float, stopping: asyncio.Event) -> None:
        method = route.method
        self._route = route
        self._shared = shared
        self._requests = requests.Requests(route, 0, shared.thread)
        self._keep_alive_seconds = keep_alive_seconds
        self._stopping = stopping
        self._answer: type[Message] = GetMessageClass(method.output_type)
        self._rpc: Any = shared.dialled.unary_stream(f"/{method.containing_service.full_name}/{method.name}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one stream, until the service or the caller ends it."""
        current = exchange.of(scope)
        current.route = self._route.full_path
        violations = Violations()
        try:
            context = headers.context(current, violations, None)
            if (known := self._shared.keys.owner(context.key)) is not None:
                exchange.pay(scope, known)  # also where the service is away, or takes no more
            with self._shared.shares.request(context.key):
                owner = await self._shared.keys.check(context.key, context.seconds or self._shared.seconds)
                exchange.pay(scope, owner)
                await self._serve(scope, receive, send, context, violations, owner=owner)
        except Enough:
            raise failures.invalid(violations) from None

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, context: Context, violations: Violations, *, owner: bytes
    ) -> None:
        current = exchange.of(scope)
        request: Any = self._requests.read_query(scope, violations)
        last = current.headers.get(b"last-event-id")
        if last:
            request.after, request.from_now = last.decode("latin-1"), False
        if violations.total:
            raise failures.invalid(violations)
        if self._stopping.is_set():
            raise failures.stopping()
        with self._shared.streams.call(owner):
            await self._stream(scope, receive, send, request, context)

    async def _stream(self, scope: Scope, receive: Receive, send: Send, request: Any, context: Context) -> None:
        current = exchange.of(scope)
        call = self._rpc(request.SerializeToString(), metadata=context.metadata, timeout=context.seconds)
        watch = asyncio.create_task(_until_gone(receive, self._stopping))
        try:
            begun = await self._begin(call, watch)
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            # The place where the stream begins: a caller that goes before the first event comes back to it.
            head = f"retry: {_RETRY_MILLISECONDS}\nid: {begun}\n\n"
            await send({"type": "http.response.body", "body": head.encode(), "more_body": True})
            refused = await self._events(call, watch, send)
            end = b"" if refused is None else b"event: error\ndata: " + refused.body(current.request_id) + b"\n"
            current.refused = refused
            await send({"type": "http.response.body", "body": end})
        finally:
            watch.cancel()
            call.cancel()

    async def _begin(self, call: Any, watch: asyncio.Task[bool]) -> str:
        """Waits for the stream's beginning. Raises `Refused` if it does not come to that."""
        start = asyncio.ensure_future(call.initial_metadata())
        await asyncio.wait({start, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            raise _ended(watch.result())
        begun = dict(start.result() or ()).get(RESUME_TOKEN)
        if begun is None:
            raise await _failure(call) or failures.defect()
        return str(begun)

    async def _events(self, call: Any, watch: asyncio.Task[bool], send: Send) -> Refused | None:
        """Sends event after event. Gives the error that ended it; None if it ended well."""
        reading: asyncio.Future[Any] = asyncio.ensure_future(call.read())
        try:
            while True:
                done, _ = await asyncio.wait(
                    {reading, watch}, timeout=self._keep_alive_seconds, return_when=asyncio.FIRST_COMPLETED
                )
                if watch in done:
                    return failures.stopping() if watch.result() else None
                if not done:
                    await send({"type": "http.response.body", "body": b": still here\n\n", "more_body": True})
                    continue
                try:
                    answer = reading.result()
                except grpc.RpcError as error:
                    return failures.told(failure.from_error(error))
                if answer is grpc.aio.EOF:
                    return await _failure(call)
                message: Any = self._answer.FromString(answer)
                event = f"event: operation\nid: {message.resume_token}\ndata: {write(message)}\n\n"
                # Waits while the caller does not read, and so nothing more is read for it.
                await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
                reading = asyncio.ensure_future(call.read())
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, grpc.RpcError):
                await reading


async def _until_gone(receive: Receive, stopping: asyncio.Event) -> bool:
    """Waits until the caller goes away, or the gateway is to stop; tells whether it was the latter."""
    gone = asyncio.create_task(exchange.until_gone(receive))
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({gone, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        stop.cancel()
    return stopping.is_set()


def _ended(stopping: bool) -> Exception:  # noqa: FBT001  # what the watch tells
    return failures.stopping() if stopping else exchange.CallerGone()


async def _failure(call: Any) -> Refused | None:
    """Tells how a call ended."""
    if await call.code() is grpc.StatusCode.OK:
        return None
    error = grpc.aio.AioRpcError(
        await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )
    return failures.told(failure.from_error(error))
