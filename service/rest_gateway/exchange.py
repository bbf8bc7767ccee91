"""One HTTP request and its answer, and what every one of them gets: an id, headers, and a line in the log."""

import re
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from service.grpc_client.metadata import LOGGED_REQUEST_ID, X_REQUEST_ID
from service.rest_gateway.failures import CLIENT_CLOSED_REQUEST, Refused
from service.runtime import log
from service.runtime.log_limits import LogLimits

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = ((b"content-type", b"application/json"),)

_SMALL_BYTES = 64 * 1024
# Requests without a good key that the log has in a second, of each status.
_LOGGED_UNPAID = 10
# The scheme and authority of a request target in absolute form (RFC 9112, 3.2.2).
_AUTHORITY = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
# A page that needs more than this JSON does says so itself.
_DEFAULT_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class CallerGone(Exception):
    """The caller closed the connection before the request was complete or answered."""


@dataclass(slots=True, eq=False)
class Exchange:
    """What is known of a request while it is answered.

    Attributes:
        request_id: the header `X-Request-Id`, or made here.
        headers: the request's, lower case; the first of each name.
        route: the path in the table; empty until one is found. The path itself may hold what the log must not.
        status: what was answered; 0 until then.
        refused: the error that was answered.
        paid: whether it has a good key.
        repeated: the names of headers that it has more than once.
    """

    request_id: str
    headers: dict[bytes, bytes]
    route: str = ""
    status: int = 0
    refused: Refused | None = None
    paid: bool = False
    repeated: frozenset[bytes] = frozenset()
    started: float = field(default_factory=time.monotonic)


def of(scope: Scope) -> Exchange:
    """Gives the exchange that an application is called for."""
    exchange: Exchange = scope["exchange"]
    return exchange


def pay(scope: Scope, owner: bytes) -> None:
    """Notes that a request has a good key, and whose it is, for its connection too."""
    of(scope).paid = True
    scope["pay"](owner)


async def until_gone(receive: Receive) -> None:
    """Waits until the caller closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(
    send: Send, status: int, body: bytes | list[bytes], headers: tuple[tuple[bytes, bytes], ...] = JSON
) -> None:
    """Sends a whole answer. A body in pieces is sent piece by piece, as quickly as the caller reads it."""
    pieces = [body] if isinstance(body, bytes) else body
    size = sum(map(len, pieces))
    length = (
        () if status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED} else ((b"content-length", str(size).encode()),)
    )
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    if size <= _SMALL_BYTES:
        pieces = [b"".join(pieces)]
    pieces.reverse()
    while len(pieces) > 1:
        await send({"type": "http.response.body", "body": pieces.pop(), "more_body": True})
    await send({"type": "http.response.body", "body": pieces.pop()})


async def refuse(scope: Scope, send: Send, refused: Refused) -> None:
    """Sends an error."""
    exchange = of(scope)
    exchange.refused = refused
    headers = tuple((name.lower().encode(), value.encode()) for name, value in refused.headers.items())
    await respond(send, refused.status, refused.body(exchange.request_id), JSON + headers)


class Plain:
    """An application of a function: the router would call the function itself with a request."""

    def __init__(self, serve: App) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        await self._serve(scope, receive, send)


class Door:
    """The outermost application: every request comes in here, and every answer goes out."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._unpaid = LogLimits(_LOGGED_UNPAID)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        _to_origin_form(scope)
        headers = dict(reversed(scope["headers"]))
        given = headers.get(X_REQUEST_ID.encode(), b"").decode("latin-1")
        request_id = given if LOGGED_REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        exchange = Exchange(request_id, headers, started=scope.get("started") or time.monotonic())
        if len(headers) != len(scope["headers"]):
            exchange.repeated = _repeated(scope["headers"])
        scope["exchange"] = exchange

        async def out(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                own = message["headers"]
                named = {name for name, _ in own}
                added = [header for header in _DEFAULT_HEADERS if header[0] not in named]
                message["headers"] = [*own, *added, (X_REQUEST_ID.encode(), request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, out)
        finally:
            left_out = 0 if exchange.paid else self._unpaid.admit(exchange.status)
            if left_out is not None:
                _log(scope["method"], exchange, left_out)


def _log(method: str, exchange: Exchange, left_out: int) -> None:
    refused = exchange.refused
    log.info(
        "request",
        method=method,
        path=exchange.route or None,
        status=exchange.status or CLIENT_CLOSED_REQUEST,
        reason=refused.reason if refused else None,
        duration_ms=round((time.monotonic() - exchange.started) * 1000, 3),
        x_request_id=exchange.request_id,
        call_id=refused.metadata.get("callId") if refused else None,
        **({"cause": refused.cause} if refused and refused.cause else {}),
        **({"left_out": left_out} if left_out else {}),
    )


def _repeated(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    count = Counter(name for name, _ in headers)
    return frozenset(name for name, times in count.items() if times > 1)


def _to_origin_form(scope: Scope) -> None:
    """Takes the authority away from a request target that has one."""
    found = _AUTHORITY.match(scope["raw_path"])
    if found is not None:
        raw = scope["raw_path"][found.end() :]
        # The server has decoded the whole of it; the authority has nothing that decodes to a slash.
        path = "/" + scope["path"].partition("://")[2].partition("/")[2]
        scope["raw_path"], scope["path"] = raw or b"/", path
