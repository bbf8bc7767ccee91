"""Runs the gateway on uvicorn: where it listens, whom it calls, how it stops, and what it says to what is no HTTP."""

import asyncio
import secrets
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import uvicorn
from starlette.routing import BaseRoute
from uvicorn.protocols.http.h11_impl import H11Protocol

from service import log
from service.transport import channel
from service.transport.channel import Trust
from service.transport.gateway import application, failures
from service.transport.gateway.application import Options

_MAX_HEAD_BYTES = 64 * 1024
_KEEP_ALIVE_SECONDS = 75
_LINGER_SECONDS = 1.0


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
                h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
                # Longer than the usual proxy keeps a connection: it should be the one that hangs up.
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
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


class _Protocol(H11Protocol):
    """Uvicorn's, with our JSON for what is no HTTP.

    On h11: the quicker httptools loses the body of a request that offers to go over to HTTP/2, as Java's client does.
    """

    _refused = False

    def data_received(self, data: bytes) -> None:
        """Reads on behind a refusal too, without looking: closed with something unread, it would never be seen."""
        if not self._refused:
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Answers and hangs up; in the middle of another answer it only hangs up."""
        self._refused = True
        begun = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if begun or self.transport.is_closing():
            self.transport.close()
            return
        request_id = secrets.token_hex(8)
        log.warning("no HTTP", problem=msg, x_request_id=request_id)
        body = failures.malformed("The request is not HTTP/1.1, or its head is too long").body(request_id)
        head = [
            b"HTTP/1.1 400 Bad Request",
            b"content-type: application/json",
            b"connection: close",
            b"x-request-id: " + request_id.encode(),
            b"content-length: %d" % len(body),
        ]
        self.transport.write(b"\r\n".join([*head, b"", body]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)
