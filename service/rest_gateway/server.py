"""Runs the gateway in an event loop until it is stopped."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.routing import BaseRoute

from service.grpc_client.channel import Trust
from service.rest_gateway import application
from service.rest_gateway.application import Options
from service.rest_gateway.channel_pool import ChannelPool
from service.rest_gateway.connection_limit import ConnectionLimit
from service.rest_gateway.h11_connection import MAX_HEAD_BYTES
from service.rest_gateway.paced_selector import PacedSelector
from service.rest_gateway.protocol import IDLE_SECONDS
from service.rest_gateway.uvicorn_server import UvicornServer
from service.rest_gateway.warning_log import WarningLog

# The server serves 256 calls per connection; further calls wait in gRPC. Eight connections are enough for all calls and
# streams that `application.py` allows, and for cancelled calls, which count until the server has ended them.
_CHANNELS = 8


@dataclass(frozen=True, slots=True)
class Target:
    """The gRPC server: its address, `host:port`, and which certificate to trust; None for plaintext."""

    address: str
    trust: Trust | None = None


class Runner:
    """Serves until `stop` is called.

    Args:
        target: the gRPC server.
        options: limits and times.
        drain_seconds: how long requests in flight may take to finish when the gateway stops.
        tls: the certificate and its key; None serves plaintext.
        pages: routes beside those of the table.
    """

    def __init__(
        self,
        target: Target,
        options: Options,
        drain_seconds: float,
        tls: ssl.SSLContext | None = None,
        pages: Sequence[BaseRoute] = (),
    ) -> None:
        self._target = target
        self._options = options
        self._drain_seconds = drain_seconds
        self._tls = tls
        self._pages = pages
        self._server: UvicornServer | None = None
        self._stop = False
        self._renew: Callable[[Trust], object] = lambda _trust: None

    def run(self, listening: Sequence[socket.socket], on_started: Callable[[], None] = lambda: None) -> None:
        """Serves on sockets, and closes them at the end. `on_started` is called once the gateway answers."""
        selector = PacedSelector()
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            runner.run(self._run(listening, selector, on_started))

    def stop(self) -> None:
        """Begins to stop. Signal handlers and other threads may call it."""
        self._stop = True
        if self._server is not None:
            self._server.should_exit = True

    def renew(self, trust: Trust) -> None:
        """Replaces the channels to the server by ones with another trust. Other threads may call it."""
        self._renew(trust)

    async def _run(
        self, listening: Sequence[socket.socket], selector: PacedSelector, on_started: Callable[[], None]
    ) -> None:
        async with self._pool(_CHANNELS) as channels, self._pool(1) as control:
            loop = asyncio.get_running_loop()

            def renew(trust: Trust) -> None:
                channels.renew(trust)
                control.renew(trust)

            self._renew = lambda trust: loop.call_soon_threadsafe(renew, trust)
            gateway = application.build(channels, control, self._options, self._pages)
            config = uvicorn.Config(
                gateway.app,
                http="h11",
                ws="none",
                loop="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                timeout_keep_alive=int(IDLE_SECONDS),
                timeout_graceful_shutdown=self._drain_seconds,  # type: ignore[arg-type]  # fractions work too
            )
            config.load()
            warnings = WarningLog()
            loop.set_exception_handler(lambda _loop, context: _log_exception(warnings, context))
            self._server = UvicornServer(
                config,
                gateway.stopping,
                on_started,
                connections=ConnectionLimit(self._options.connections),
                selector=selector,
                warnings=warnings,
                tls=self._tls,
            )
            self._server.should_exit = self._stop
            await self._server.serve(list(listening))

    def _pool(self, channels: int) -> ChannelPool:
        return ChannelPool(self._target.address, self._target.trust, channels)


def _log_exception(warnings: WarningLog, context: dict[str, Any]) -> None:
    """Logs an exception in the event loop that belongs to no request."""
    warnings.warn(
        "defect in the event loop", problem=str(context.get("message")), exception=repr(context.get("exception"))
    )
