"""Serves an rpc with one answer."""

import asyncio
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from service.grpc_client import failure
from service.rest_gateway import exchange, failures, headers, requests
from service.rest_gateway.exchange import Receive, Scope, Send
from service.rest_gateway.headers import Context
from service.rest_gateway.routes import Route
from service.rest_gateway.shared import Shared
from service.rest_gateway.violations import Enough, Violations
from service.rest_gateway.writer import pieces

if TYPE_CHECKING:
    from google.protobuf.message import Message

# An answer is a little longer as JSON, and some of it is there in both forms.
_JSON_PER_BYTE = 2


class Unary:
    """An application for one route.

    Args:
        route: the route.
        shared: what all routes share.
    """

    def __init__(self, route: Route, shared: Shared) -> None:
        method = route.method
        self._route = route
        self._shared = shared
        self._requests = requests.Requests(route, shared.max_body_bytes, shared.thread)
        self._answer: type[Message] = GetMessageClass(method.output_type)
        # Bytes in and out: each form of a big message is let go of before the next but one is made.
        self._rpc: Any = shared.dialled.unary_unary(f"/{method.containing_service.full_name}/{method.name}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        current = exchange.of(scope)
        current.route = self._route.full_path
        violations = Violations()
        try:
            context = headers.context(current, violations, self._shared.seconds)
            if (known := self._shared.keys.owner(context.key)) is not None:
                exchange.pay(scope, known)  # also where the service is away, or takes no more
            with self._shared.shares.request(context.key) as holding:
                owner = await self._shared.keys.check(context.key, context.seconds or 0.0)
                exchange.pay(scope, owner)
                if self._route.http_method == "GET":
                    message = self._requests.read_query(scope, violations)
                else:
                    message = await self._requests.read_body(scope, receive, context, holding, violations, owner=owner)
                if violations.total:
                    raise failures.invalid(violations)
                keys = self._requests.keys(message)
                request = [message.SerializeToString()]
                del message
                with self._shared.calls.call(owner):
                    answer = await self._call(receive, context, request, keys)
                # The body's bytes are gone now. The answer's are held until the caller has read them.
                holding.hold(0)
                holding.hold(_JSON_PER_BYTE * len(answer[0]))
                await exchange.respond(send, 200, await self._written(answer, owner, receive))
        except Enough:
            raise failures.invalid(violations) from None

    async def _call(self, receive: Receive, context: Context, request: list[bytes], keys: Sequence[str]) -> list[bytes]:
        """Calls the service. Takes the request out of its list, and gives the answer in one: nobody else holds them."""
        call = self._rpc(request.pop(), metadata=context.metadata, timeout=context.seconds)
        # The watch lets go only after its cancellation has had its turn, and the call has the request's bytes.
        watch = asyncio.create_task(_cancel_when_gone(receive, weakref.ref(call)))
        try:
            return [await call]
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._shared.keys.forget(context.key)
            raise failures.told(failure.from_error(error), self._route.map_field, keys) from None
        except asyncio.CancelledError:
            if not watch.done():
                raise  # the gateway stops
            raise exchange.CallerGone from None
        finally:
            watch.cancel()

    async def _written(self, answer: list[bytes], owner: bytes, receive: Receive) -> list[bytes]:
        if len(answer[0]) <= requests.SMALL_BYTES:
            return self._write(answer)
        return await self._shared.thread.write(owner, receive, lambda: self._write(answer))

    def _write(self, answer: list[bytes]) -> list[bytes]:
        return pieces(self._answer.FromString(answer.pop()))


async def _cancel_when_gone(receive: Receive, made: Any) -> None:
    await exchange.until_gone(receive)
    if (call := made()) is not None:
        call.cancel()
