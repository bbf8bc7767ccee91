"""Whether the gateway lives, and whether a call through it would be served."""

import asyncio
import re
import time
from http import HTTPStatus
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from starlette.routing import BaseRoute, Route

from service.rest_gateway import exchange, failures
from service.rest_gateway.dialling import Dialled
from service.rest_gateway.exchange import Plain, Receive, Scope, Send
from service.rest_gateway.failures import Refused

LIVE = "/healthz"
READY = "/readyz"
METHOD = "/grpc.health.v1.Health/Check"

_SECONDS = 2.0
# An answer is given again for so many times as long as it took, so that asking all the time costs the service little.
_KEPT_TIMES = 4
_MAX_KEPT_SECONDS = 0.25
# OpenSSL's words, such as "certificate has expired", within gRPC's.
_BAD_CERTIFICATE = re.compile("CERTIFICATE_VERIFY_FAILED: ([A-Za-z -]+)")


def routes(control: Dialled, dialled: Dialled, stopping: asyncio.Event) -> list[BaseRoute]:
    """Returns the two paths: `control` is asked, and `dialled` is what calls are made on."""
    readiness = _Readiness(control, dialled)

    async def live(scope: Scope, _receive: Receive, send: Send) -> None:
        exchange.of(scope).route = LIVE
        await exchange.respond(send, HTTPStatus.OK, b'{"status":"live"}\n')

    async def ready(scope: Scope, _receive: Receive, send: Send) -> None:
        exchange.of(scope).route = READY
        if stopping.is_set():
            raise failures.not_ready("gateway", "the gateway is stopping")
        away = await readiness.away()
        if away is not None:
            raise away
        await exchange.respond(send, HTTPStatus.OK, b'{"status":"ready"}\n')

    return [Route(LIVE, Plain(live), methods=["GET"]), Route(READY, Plain(ready), methods=["GET"])]


class _Readiness:
    """Asks the service, on a connection of its own: calls that wait on the others do not make it look unready."""

    def __init__(self, control: Dialled, dialled: Dialled) -> None:
        self._dialled = dialled
        self._check: Any = control.unary_unary(
            METHOD,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        self._asked: asyncio.Task[Refused | None] | None = None
        self._kept_until = 0.0

    async def away(self) -> Refused | None:
        """Returns what is away; None if calls are served. Many who ask at once share one question."""
        if self._asked is None or (self._asked.done() and time.monotonic() >= self._kept_until):
            self._asked = asyncio.create_task(self._ask_and_keep())
        return await asyncio.shield(self._asked)

    async def _ask_and_keep(self) -> Refused | None:
        started = time.monotonic()
        found = await self._ask()
        ended = time.monotonic()
        self._kept_until = ended + min(_KEPT_TIMES * (ended - started), _MAX_KEPT_SECONDS)
        return found

    async def _ask(self) -> Refused | None:
        try:
            answer = await self._check(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
        except grpc.RpcError as error:
            return _unreachable(error)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            return failures.not_ready("database", "the server has no database to read from, or is stopping")
        if self._dialled.failing:
            # The server has come back, and this connection is made anew a moment before those of the calls.
            return failures.not_ready("server", "the server cannot be reached")
        return None


def _unreachable(error: Any) -> Refused:
    details = error.details() or ""
    cause = f"{error.code().name}: {details}"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return failures.not_ready("server", f"the server did not answer within {_SECONDS:g} seconds", cause)
    if found := _BAD_CERTIFICATE.search(details):
        return failures.not_ready("server_certificate", f"the server's certificate is refused: {found[1]}", cause)
    return failures.not_ready("server", "the server cannot be reached", cause)
