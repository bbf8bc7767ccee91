"""Builds the ASGI application: middleware, the routes of the table, health, and the pages."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute, Router
from starlette.routing import Route as HttpRoute

from service.rest_gateway import errors, health
from service.rest_gateway.asgi import ASGIApp, Receive, Scope, Send
from service.rest_gateway.call_limit import CallLimit
from service.rest_gateway.channel_pool import ChannelPool
from service.rest_gateway.error_middleware import ErrorMiddleware, JsonCORSMiddleware
from service.rest_gateway.events import EventStreamApp
from service.rest_gateway.fair_thread import FairThread
from service.rest_gateway.key_limits import KeyLimits
from service.rest_gateway.keys import KeyChecker
from service.rest_gateway.request_middleware import RequestMiddleware
from service.rest_gateway.resources import Resources
from service.rest_gateway.routes import ROUTES, Route
from service.rest_gateway.unary import UnaryApp

_CALLS = 1_000
_CALLS_PER_OWNER = 200
_STREAMS = 500
_STREAMS_PER_OWNER = 250

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
    """The limits and times of the gateway.

    Attributes:
        max_body_bytes: the longest body of any path; most paths have lower limits.
        buffered_bytes: how many bytes of bodies and answers may be in memory; one key may use half of them.
        connections: how many connections may be open. One key may have requests in progress on half of them.
        seconds: the deadline of a request without `X-Request-Timeout`; streams have none.
        keep_alive_seconds: how often a stream without events sends a comment.
        cors_origins: the origins whose pages may call; `*` allows any.
    """

    max_body_bytes: int
    buffered_bytes: int
    connections: int
    seconds: float
    keep_alive_seconds: float
    cors_origins: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Gateway:
    """The application, and the event that ends its streams."""

    app: ASGIApp
    stopping: asyncio.Event


def build(channels: ChannelPool, control: ChannelPool, options: Options, pages: Sequence[BaseRoute] = ()) -> Gateway:
    """Builds the application. Call it in the event loop that serves it.

    Args:
        channels: the channels for calls.
        control: a channel for key checks and health alone, which calls in flight do not delay.
        options: limits and times.
        pages: routes beside those of the table.
    """
    stopping = asyncio.Event()
    resources = Resources(
        channels,
        KeyChecker(control),
        KeyLimits(max(1, options.connections // 2), options.buffered_bytes, options.max_body_bytes),
        CallLimit(_CALLS, _CALLS_PER_OWNER),
        CallLimit(_STREAMS, _STREAMS_PER_OWNER),
        FairThread("json"),
        options.max_body_bytes,
        options.seconds,
    )

    def endpoint(route: Route) -> ASGIApp:
        if route.method.server_streaming:
            return EventStreamApp(route, resources, options.keep_alive_seconds, stopping)
        return UnaryApp(route, resources)

    routes: list[BaseRoute] = [
        HttpRoute(route.full_path, endpoint(route), methods=[route.http_method]) for route in ROUTES
    ]
    routes += health.routes(control, channels, stopping)
    routes += pages
    app: Any = ErrorMiddleware(Router(routes, redirect_slashes=False, default=_not_found))
    if options.cors_origins:
        app = JsonCORSMiddleware(
            app,
            allow_origins=options.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=_ALLOWED_HEADERS,
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    return Gateway(RequestMiddleware(app), stopping)


async def _not_found(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise errors.unknown_path()
