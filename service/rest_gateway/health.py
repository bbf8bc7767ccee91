"""`/healthz`, which answers while the gateway runs, and `/readyz`, which answers whether a call would be served."""

import asyncio
import re
import time
from http import HTTPStatus
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from starlette.routing import BaseRoute, Route

from service.rest_gateway import errors, request_state
from service.rest_gateway.asgi import FunctionApp, Receive, Scope, Send
from service.rest_gateway.channel_pool import ChannelPool
from service.rest_gateway.http_error import HTTPError
from service.rest_gateway.responses import send_response
from service.runtime import log

LIVE = "/healthz"
READY = "/readyz"
METHOD = "/grpc.health.v1.Health/Check"
DATABASE = "deviceassignment.v1.database"
"""The name under which the server's health service reports its database."""

_SECONDS = 2.0
# A result is reused for this many times as long as the check took, so that constant requests cost the server little.
_KEPT_TIMES = 4
_MAX_KEPT_SECONDS = 0.25
# A reason of OpenSSL, such as "certificate has expired", in gRPC's text.
_BAD_CERTIFICATE = re.compile("CERTIFICATE_VERIFY_FAILED: ([A-Za-z -]+)")


def routes(control: ChannelPool, channels: ChannelPool, stopping: asyncio.Event) -> list[BaseRoute]:
    """Returns the two routes. `control` is used for the check; `channels` are those of the calls."""
    readiness = _Readiness(control, channels)

    async def live(scope: Scope, _receive: Receive, send: Send) -> None:
        request_state.of(scope).route = LIVE
        await send_response(send, HTTPStatus.OK, b'{"status":"live"}\n')

    async def ready(scope: Scope, _receive: Receive, send: Send) -> None:
        request_state.of(scope).route = READY
        if stopping.is_set():
            raise errors.not_ready("gateway", "the gateway is stopping")
        error = await readiness.check()
        if error is not None:
            raise error
        await send_response(send, HTTPStatus.OK, b'{"status":"ready"}\n')

    return [Route(LIVE, FunctionApp(live), methods=["GET"]), Route(READY, FunctionApp(ready), methods=["GET"])]


class _Readiness:
    """Checks the server's health on a channel of its own, which calls in flight do not delay."""

    def __init__(self, control: ChannelPool, channels: ChannelPool) -> None:
        self._channels = channels
        self._rpc: Any = control.unary_unary(
            METHOD,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        self._checking: asyncio.Task[HTTPError | None] | None = None
        self._kept_until = 0.0
        self._away = ""

    async def check(self) -> HTTPError | None:
        """Returns what is missing; None if calls are served. Concurrent requests share one check."""
        if self._checking is None or (self._checking.done() and time.monotonic() >= self._kept_until):
            self._checking = asyncio.create_task(self._check_and_keep())
        return await asyncio.shield(self._checking)

    async def _check_and_keep(self) -> HTTPError | None:
        started = time.monotonic()
        result = await self._check()
        ended = time.monotonic()
        self._kept_until = ended + min(_KEPT_TIMES * (ended - started), _MAX_KEPT_SECONDS)
        self._log(result)
        return result

    def _log(self, result: HTTPError | None) -> None:
        """Logs when something else is away than at the last check, because requests of probes are not logged."""
        away = "" if result is None else str(result.metadata["away"])
        if result is not None and away != self._away:
            log.warning("not ready", away=away, reason=result.text, cause=result.cause)
        elif result is None and self._away:
            log.info("ready again", was_away=self._away)
        self._away = away

    async def _check(self) -> HTTPError | None:
        try:
            answer = await self._rpc(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
        except grpc.RpcError as error:
            return _unreachable(error)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            return await self._not_serving()
        if self._channels.is_failing:
            # After a restart of the server this channel may be connected before those of the calls.
            return errors.not_ready("server", "the server cannot be reached")
        return None

    async def _not_serving(self) -> HTTPError:
        """Asks the server whether it misses its database."""
        try:
            answer = await self._rpc(health_pb2.HealthCheckRequest(service=DATABASE), timeout=_SECONDS)
        except grpc.RpcError as error:
            return _unreachable(error)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            return errors.not_ready("database", "the server's database does not answer")
        return errors.not_ready("server", "the server is stopping, or one of its processes does not serve yet")


def _unreachable(error: Any) -> HTTPError:
    details = error.details() or ""
    cause = f"{error.code().name}: {details}"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.not_ready("server", f"the server did not answer within {_SECONDS:g} seconds", cause)
    if found := _BAD_CERTIFICATE.search(details):
        return errors.not_ready("server_certificate", f"the server's certificate is refused: {found[1]}", cause)
    return errors.not_ready("server", "the server cannot be reached", cause)
