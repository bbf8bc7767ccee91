"""Runs the gateway on uvicorn: where it listens, whom it calls, how it stops, and what it says to what is no HTTP."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import uvicorn
from starlette.routing import BaseRoute
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.transport import channel
from service.transport.channel import Trust
from service.transport.gateway import application, failures
from service.transport.gateway.application import Options

_MAX_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """The service: its address, `host:port`, and whom to trust there; None for plaintext."""

    address: str
    trust: Trust | None = None


def listen(address: str, *, shared: bool = False) -> socket.socket:
    """Opens a port; `address` is `host:port`, and port 0 takes a free one. Raises `OSError` if it cannot.

    A shared one may be reserved, or listened on, by other processes that share it.
    """
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(where)
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


class Runner:
    """Serves until it is told to stop.

    Args:
        target: the service.
        options: what it takes on.
        drain_seconds: how long requests in flight may take to finish when it stops.
        tls: the certificate and its key; None serves plaintext.
        pages: what is served beside the table.
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
        self._server: _Server | None = None
        self._stop = False

    def run(self, listener: socket.socket, started: Callable[[], None] = lambda: None) -> None:
        """Serves on a port, and closes it in the end. `started` is called once it answers."""
        asyncio.run(self._run(listener, started))

    def stop(self) -> None:
        """Asks it to stop: from a signal's handler, or from any thread."""
        self._stop = True
        if self._server is not None:
            self._server.should_exit = True

    async def _run(self, listener: socket.socket, started: Callable[[], None]) -> None:
        async with _dial(self._target) as dialled:
            gateway = application.build(dialled, self._options, self._pages)
            config = uvicorn.Config(
                gateway.app,
                http=_Protocol,
                ws="none",
                loop="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=self._drain_seconds,  # type: ignore[arg-type]  # it takes parts of a second
            )
            config.load()
            config.ssl = self._tls
            self._server = _Server(config, gateway.stopping, started)
            self._server.should_exit = self._stop
            await self._server.serve([listener])


def _dial(target: Target) -> grpc.aio.Channel:
    options = channel.options(target.trust)
    if target.trust is None:
        return grpc.aio.insecure_channel(target.address, options)
    credentials = grpc.ssl_channel_credentials(target.trust.root_certificates)
    return grpc.aio.secure_channel(target.address, credentials, options)


class _Server(uvicorn.Server):
    """Uvicorn's, which tells when it answers, and ends the streams before it waits for what is in flight."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._tell = started

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to whoever runs this."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)


class _Protocol(HttpToolsProtocol):
    """Uvicorn's, with a limit on a request's head, and with our JSON for what is no HTTP."""

    _head_bytes = 0

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name + value)
        super().on_header(name, value)

    def _count(self, piece: bytes) -> None:
        self._head_bytes += len(piece)
        if self._head_bytes > _MAX_HEAD_BYTES:
            raise ValueError("the request's head is too long")  # the parser stops, and the answer is a 400

    def send_400_response(self, _message: str) -> None:
        if self.transport.is_closing():
            return
        body = failures.malformed("The request is not HTTP/1.1, or its head is too long").body()
        head: list[Any] = [
            STATUS_LINE[400],
            b"content-type: application/json\r\nconnection: close\r\n",
            b"content-length: %d\r\n\r\n" % len(body),
        ]
        self.transport.write(b"".join([*head, body]))
        self.transport.close()
