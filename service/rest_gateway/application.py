"""Puts the gateway together: the door, CORS, errors, and the routes of the table."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import BaseRoute, Router
from starlette.routing import Route as HttpRoute

from service.rest_gateway import exchange, failures, health
from service.rest_gateway.dialling import Dialled
from service.rest_gateway.events import Events
from service.rest_gateway.exchange import App, CallerGone, Door, Receive, Scope, Send
from service.rest_gateway.failures import Refused
from service.rest_gateway.fair_thread import FairThread
from service.rest_gateway.keys import KeyChecks
from service.rest_gateway.routes import ROUTES, Route
from service.rest_gateway.shared import Shared
from service.rest_gateway.shares import InFlight, Shares
from service.rest_gateway.unary import Unary
from service.runtime import log

_CALLS = 1_000
_CALLS_OF_ONE = 200
_STREAMS = 500
_STREAMS_OF_ONE = 250

_ALLOWED_HEADERS = (
    "content-type",
    "idempotency-key",
    "last-event-id",
    "traceparent",
    "tracestate",
    "x-api-key",
    "x-request-id",
    "x-request-timeout",
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the gateway takes on.

    Attributes:
        max_body_bytes: the longest body of any path; most paths take less.
        buffered_bytes: how much of bodies and answers may be in memory; one key may use half of it.
        connections: how many may be open at once. One key may have requests on half of them.
        seconds: the deadline of a request that names none; streams have none.
        keep_alive_seconds: how often a stream with nothing to tell says so.
        cors_origins: the origins whose pages may call; `*` is any.
    """

    max_body_bytes: int
    buffered_bytes: int
    connections: int
    seconds: float
    keep_alive_seconds: float
    cors_origins: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Gateway:
    """The application, and what ends its streams."""

    app: App
    stopping: asyncio.Event


def build(dialled: Dialled, control: Dialled, options: Options, pages: Sequence[BaseRoute] = ()) -> Gateway:
    """Builds the application. To be called in the loop that will serve it.

    Args:
        dialled: the channels that calls are made on.
        control: the channel on which keys and the service's health are asked about, whatever the calls do.
        options: what it takes on.
        pages: what is served beside the table.
    """
    stopping = asyncio.Event()
    shared = Shared(
        dialled,
        KeyChecks(control),
        Shares(max(1, options.connections // 2), options.buffered_bytes, options.max_body_bytes),
        InFlight(_CALLS, _CALLS_OF_ONE),
        InFlight(_STREAMS, _STREAMS_OF_ONE),
        FairThread("json"),
        options.max_body_bytes,
        options.seconds,
    )

    def endpoint(route: Route) -> App:
        if route.method.server_streaming:
            return Events(route, shared, options.keep_alive_seconds, stopping)
        return Unary(route, shared)

    routes: list[BaseRoute] = [
        HttpRoute(route.full_path, endpoint(route), methods=[route.http_method]) for route in ROUTES
    ]
    routes += health.routes(control, dialled, stopping)
    routes += pages
    app: Any = Guard(Router(routes, redirect_slashes=False, default=_nothing))
    if options.cors_origins:
        app = Cors(
            app,
            allow_origins=options.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=_ALLOWED_HEADERS,
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    return Gateway(Door(app), stopping)


class Guard:
    """Turns what goes wrong behind it into an answer."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        current = exchange.of(scope)
        scope["app"] = self  # so that the router raises its refusals instead of wording them
        try:
            _check_framing(scope["method"], current.headers)
            await self._router(scope, receive, send)
        except HTTPException as error:
            await _refuse_method(scope, send, error)
        except Refused as refused:
            await exchange.refuse(scope, send, refused)
        except CallerGone:
            pass
        except Exception:  # whatever it is, the caller gets an answer and the log the cause
            log.exception("defect", x_request_id=current.request_id)
            if current.status:
                raise
            await exchange.refuse(scope, send, failures.defect())


def _check_framing(method: str, headers: Mapping[bytes, bytes]) -> None:
    """Refuses what a proxy in between may have understood in another way. Raises `Refused`."""
    if method == "CONNECT" or (b"content-length" in headers and b"transfer-encoding" in headers):
        refused = failures.malformed(
            "The request must not be a CONNECT, nor have both a length and a transfer-encoding"
        )
        refused.headers["Connection"] = "close"
        raise refused


class Cors(CORSMiddleware):
    """Starlette's, with our JSON when it refuses."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answers a browser that asks before it calls."""
        answer = super().preflight_response(request_headers)
        if answer.status_code != HTTPStatus.BAD_REQUEST:
            return answer
        text = "This origin, or its method or headers, may not call"
        body = failures.malformed(text).body()
        kept = {name: value for name, value in answer.headers.items() if name.startswith(("access-", "vary"))}
        return Response(body, HTTPStatus.BAD_REQUEST, kept, "application/json")


async def _refuse_method(scope: Scope, send: Send, error: HTTPException) -> None:
    """Answers a method that the path does not have; the router finds nothing else to refuse."""
    allowed = ", ".join(sorted({*(error.headers or {}).get("Allow", "").split(", "), "OPTIONS"} - {""}))
    if scope["method"] == "OPTIONS":
        await exchange.respond(send, HTTPStatus.NO_CONTENT, b"", ((b"allow", allowed.encode()),))
    else:
        await exchange.refuse(scope, send, failures.wrong_method(allowed))


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise failures.unknown_path()
