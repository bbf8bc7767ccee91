"""Whether the gateway lives, and whether the service behind it serves."""

import asyncio
from http import HTTPStatus
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from starlette.routing import BaseRoute, Route

from service.transport.gateway import exchange, failures
from service.transport.gateway.exchange import App, Receive, Scope, Send

LIVE = "/healthz"
READY = "/readyz"
METHOD = "/grpc.health.v1.Health/Check"

_SECONDS = 2.0


def routes(channel: grpc.aio.Channel, stopping: asyncio.Event) -> list[BaseRoute]:
    """Gives the two paths."""
    check: Any = channel.unary_unary(
        METHOD,
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )

    async def live(scope: Scope, _receive: Receive, send: Send) -> None:
        exchange.of(scope).route = LIVE
        await exchange.respond(send, HTTPStatus.OK, b'{"status":"live"}')

    async def ready(scope: Scope, _receive: Receive, send: Send) -> None:
        exchange.of(scope).route = READY
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
            serving = answer.status == health_pb2.HealthCheckResponse.SERVING
        except grpc.RpcError:
            serving = False
        if not serving or stopping.is_set():
            raise failures.not_ready()
        await exchange.respond(send, HTTPStatus.OK, b'{"status":"ready"}')

    return [Route(LIVE, _App(live), methods=["GET"]), Route(READY, _App(ready), methods=["GET"])]


class _App:
    """An application of a function: the router would call the function itself with a request."""

    def __init__(self, serve: App) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._serve(scope, receive, send)
