"""The types of ASGI, and what several applications do with its messages."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class ClientDisconnected(Exception):
    """The client closed the connection before the request was complete or answered."""


class FunctionApp:
    """Makes an ASGI application of a function, which the router would call with a Starlette request instead."""

    def __init__(self, function: ASGIApp) -> None:
        self._function = function

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        await self._function(scope, receive, send)


async def wait_for_disconnect(receive: Receive) -> None:
    """Returns when the client closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
