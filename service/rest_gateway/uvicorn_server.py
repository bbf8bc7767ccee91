"""Uvicorn's server with the gateway's own listeners and shutdown."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from service.rest_gateway.connection_limit import ConnectionLimit, ConnectionSlot
from service.rest_gateway.listener import Listener
from service.rest_gateway.paced_selector import PacedSelector
from service.rest_gateway.paced_socket import PacedSocket
from service.rest_gateway.protocol import GatewayProtocol
from service.rest_gateway.warning_log import WarningLog

_FINAL_ACCEPTS = 3
_FINAL_ACCEPT_SECONDS = 0.02


class UvicornServer(uvicorn.Server):
    """A server whose streams end before it waits for the requests in flight.

    Args:
        config: uvicorn's configuration.
        stopping: is set when the server begins to stop.
        on_started: is called once the server answers.
        connections: limits the open connections.
        selector: the event loop's selector.
        warnings: logs what clients do wrong.
        tls: the certificate and its key; None serves plaintext.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        stopping: asyncio.Event,
        on_started: Callable[[], None],
        *,
        connections: ConnectionLimit,
        selector: PacedSelector,
        warnings: WarningLog,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(config)
        self._listeners: list[Listener] = []
        self._stopping = stopping
        self._on_started = on_started
        self._connections = connections
        self._selector = selector
        self._warnings = warnings
        self._tls = tls

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Installs no signal handlers: the process has its own."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens. Uvicorn's own listeners have no limit, and log a traceback for each failed accept."""
        await self.lifespan.startup()

        def make_protocol(slot: ConnectionSlot, paced: PacedSocket) -> GatewayProtocol:
            return GatewayProtocol(self.config, self.server_state, slot, paced, self._warnings)

        self._listeners = [
            Listener(
                each,
                make_protocol,
                selector=self._selector,
                connections=self._connections,
                warnings=self._warnings,
                tls=self._tls,
            )
            for each in sockets or ()
        ]
        self.servers = self._listeners  # type: ignore[assignment]  # uvicorn closes them, and waits for that
        for listener in self._listeners:
            listener.start()
        self.started = True
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the streams, reads what clients have sent already, and waits for the requests in flight."""
        self._stopping.set()
        # Requests that are not read would be lost when their connections close.
        self._selector.stop_pacing()
        for _ in range(_FINAL_ACCEPTS):
            for listener in self._listeners:
                listener.accept_all()
            await asyncio.sleep(_FINAL_ACCEPT_SECONDS)
        await super().shutdown(sockets)
