"""Serves the rpcs with one answer."""

import asyncio
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from service.rest_gateway import asgi, call_errors, errors, headers, request_state, requests
from service.rest_gateway.asgi import ClientDisconnected, Receive, Scope, Send
from service.rest_gateway.headers import CallContext
from service.rest_gateway.resources import Resources
from service.rest_gateway.responses import send_response
from service.rest_gateway.routes import Route
from service.rest_gateway.violations import TooManyViolations, Violations
from service.rest_gateway.writer import chunks

if TYPE_CHECKING:
    from google.protobuf.message import Message

# JSON is a little longer than the message, and parts of both are in memory at the same time.
_MEMORY_PER_BYTE = 2


class UnaryApp:
    """The ASGI application of one route.

    Args:
        route: the route.
        resources: what all routes share.
    """

    def __init__(self, route: Route, resources: Resources) -> None:
        method = route.method
        self._route = route
        self._resources = resources
        self._requests = requests.RequestReader(route, resources.max_body_bytes, resources.thread)
        self._answer: type[Message] = GetMessageClass(method.output_type)
        # Without serializers gRPC passes bytes, so that each form of a large message is freed before the next but one.
        self._rpc: Any = resources.channels.unary_unary(f"/{method.containing_service.full_name}/{method.name}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        state = request_state.of(scope)
        state.route = self._route.full_path
        violations = Violations()
        try:
            context = headers.read_context(state, violations, self._resources.seconds)
            if (known := self._resources.keys.owner(context.key)) is not None:
                request_state.set_authenticated(scope, known)  # even if the server cannot be asked now
            with self._resources.key_limits.request(context.key) as memory:
                owner = await self._resources.keys.check(context.key, context.seconds or 0.0)
                request_state.set_authenticated(scope, owner)
                if self._route.http_method == "GET":
                    message = self._requests.read_query(scope, violations)
                else:
                    message = await self._requests.read_body(scope, receive, context, memory, violations, owner=owner)
                if violations.total:
                    raise errors.invalid_fields(violations)
                keys = self._requests.keys(message)
                request = [message.SerializeToString()]
                del message
                with self._resources.calls.acquire(owner):
                    answer = await self._call(receive, context, request, keys)
                # The body has been freed. The answer stays in memory until the client has read it.
                memory.set(0)
                memory.set(_MEMORY_PER_BYTE * len(answer[0]))
                await send_response(send, 200, await self._to_json(answer, owner, receive))
        except TooManyViolations:
            raise errors.invalid_fields(violations) from None

    async def _call(
        self, receive: Receive, context: CallContext, request: list[bytes], keys: Sequence[str]
    ) -> list[bytes]:
        """Calls the server. Removes the request from its list, and returns the answer in one, to free both early."""
        call = self._rpc(request.pop(), metadata=context.metadata, timeout=context.seconds)
        # A weak reference: a cancelled task is freed late, and the call refers to the bytes of the request.
        watch = asyncio.create_task(_cancel_on_disconnect(receive, weakref.ref(call)))
        try:
            return [await call]
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._resources.keys.forget(context.key)
            raise call_errors.from_rpc_error(error, self._route.map_field, keys) from None
        except asyncio.CancelledError:
            if not watch.done():
                raise  # the gateway stops
            raise ClientDisconnected from None
        finally:
            watch.cancel()

    async def _to_json(self, answer: list[bytes], owner: bytes, receive: Receive) -> list[bytes]:
        if len(answer[0]) <= requests.SMALL_BYTES:
            return self._write(answer)
        return await self._resources.thread.write(owner, receive, lambda: self._write(answer))

    def _write(self, answer: list[bytes]) -> list[bytes]:
        return chunks(self._answer.FromString(answer.pop()))


async def _cancel_on_disconnect(receive: Receive, reference: Any) -> None:
    await asgi.wait_for_disconnect(receive)
    if (call := reference()) is not None:
        call.cancel()
