"""Serves an rpc with one answer."""

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from service.transport import failure
from service.transport.gateway import exchange, failures, headers, requests
from service.transport.gateway.exchange import Receive, Scope, Send
from service.transport.gateway.routes import Route
from service.transport.gateway.violations import Violations
from service.transport.gateway.writer import pieces

if TYPE_CHECKING:
    from google.protobuf.message import Message


class Unary:
    """An application for one route.

    Args:
        route: the route.
        channel: to the service.
        max_body_bytes: the longest body that is read.
        seconds: the deadline of a request that names none.
    """

    def __init__(self, route: Route, channel: grpc.aio.Channel, max_body_bytes: int, seconds: float) -> None:
        method = route.method
        self._route = route
        self._requests = requests.Requests(route, max_body_bytes)
        self._seconds = seconds
        self._answer: type[Message] = GetMessageClass(method.output_type)
        # Bytes in and out: each form of a big message is let go of before the next but one is made.
        self._rpc: Any = channel.unary_unary(f"/{method.containing_service.full_name}/{method.name}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        current = exchange.of(scope)
        current.route = self._route.full_path
        violations = Violations()
        context = headers.context(current, violations, self._seconds)
        message = await self._requests.read(scope, receive, violations)
        if violations.total:
            raise failures.invalid(violations)
        keys = self._requests.keys(message)
        request = message.SerializeToString()
        del message
        call = self._rpc(request, metadata=context.metadata, timeout=context.seconds)
        del request
        # The watch lets go only after its cancellation has had its turn, and the call has the request's bytes.
        watch = asyncio.create_task(_cancel_when_gone(receive, weakref.ref(call)))
        try:
            answer = await call
        except grpc.RpcError as error:
            raise failures.told(failure.from_error(error), self._route.map_field, keys) from None
        except asyncio.CancelledError:
            if not watch.done():
                raise  # the gateway stops
            raise requests.CallerGone from None
        finally:
            watch.cancel()
        del call
        read = self._answer.FromString(answer)
        del answer
        body = pieces(read)
        del read
        await exchange.respond(send, 200, body)


async def _cancel_when_gone(receive: Receive, made: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if (call := made()) is not None:
        call.cancel()
