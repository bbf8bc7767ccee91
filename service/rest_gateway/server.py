"""Runs the gateway on uvicorn: where it listens, whom it calls, and how it stops."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.routing import BaseRoute

from service.grpc_client.channel import Trust
from service.rest_gateway import application
from service.rest_gateway.application import Options
from service.rest_gateway.dialling import Dialled
from service.rest_gateway.listener import Listener
from service.rest_gateway.pace import Pace, Place
from service.rest_gateway.protocol import IDLE_SECONDS, MAX_HEAD_BYTES, Protocol
from service.rest_gateway.seats import Seat, Seats
from service.rest_gateway.warnings import Warnings

_BACKLOG = 2_048
_LAST_LOOKS = 3
_LAST_LOOK_SECONDS = 0.02
# The server takes 256 calls on a connection, and more wait in gRPC. So there are connections for all calls and streams
# that `application.py` lets through, and a few more: a cancelled call counts until the server has ended it.
_CHANNELS = 8
# What the name stands for may include an address of a kind that this machine does not have.
_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


@dataclass(frozen=True, slots=True)
class Target:
    """The service: its address, `host:port`, and whom to trust there; None for plaintext."""

    address: str
    trust: Trust | None = None


def listen(address: str, *, shared: bool = False) -> list[socket.socket]:
    """Listens on a port of every address that a name stands for.

    Args:
        address: `host:port`; port 0 takes a free one, the same on each address.
        shared: whether the port may be reserved, or listened on, by other processes that share it.

    Raises:
        OSError: it cannot listen on one of them, or on none.
    """
    host, _, text = address.rpartition(":")
    port = int(text)
    listening: list[socket.socket] = []
    missing: OSError | None = None
    found = dict.fromkeys(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM))
    for family, _, _, _, where in found:
        try:
            # An unspecified address of IPv6 would otherwise take IPv4's port too, which may be another of the name's.
            made = _bound(family, (where[0], port, *where[2:]), shared=shared, alone=len(found) == 1)
        except OSError as error:
            if error.errno in _NOT_HERE:
                missing = error
                continue
            for opened in listening:
                opened.close()
            raise
        listening.append(made)
        port = made.getsockname()[1]
    if missing is not None and not listening:
        raise missing
    return listening


def _bound(family: int, where: tuple[Any, ...], *, shared: bool, alone: bool) -> socket.socket:
    # The protocol is named because asyncio sends at once only where it is.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and not alone:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(where)
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


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
        self._renew: Callable[[Trust], object] = lambda _trust: None

    def run(self, listening: Sequence[socket.socket], started: Callable[[], None] = lambda: None) -> None:
        """Serves on sockets, and closes them in the end. `started` is called once it answers."""
        pace = Pace()
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(pace)) as runner:
            runner.run(self._run(listening, pace, started))

    def stop(self) -> None:
        """Asks it to stop: from a signal's handler, or from any thread."""
        self._stop = True
        if self._server is not None:
            self._server.should_exit = True

    def renew(self, trust: Trust) -> None:
        """Has the connection to the service made anew, from any thread."""
        self._renew(trust)

    async def _run(self, listening: Sequence[socket.socket], pace: Pace, started: Callable[[], None]) -> None:
        async with _dial(self._target, _CHANNELS) as dialled, _dial(self._target, 1) as control:
            loop = asyncio.get_running_loop()

            def renew(trust: Trust) -> None:
                dialled.renew(trust)
                control.renew(trust)

            self._renew = lambda trust: loop.call_soon_threadsafe(renew, trust)
            gateway = application.build(dialled, control, self._options, self._pages)
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
                timeout_graceful_shutdown=self._drain_seconds,  # type: ignore[arg-type]  # it takes parts of a second
            )
            config.load()
            warnings = Warnings()
            asyncio.get_running_loop().set_exception_handler(lambda _loop, what: _tell(warnings, what))
            seats = Seats(self._options.connections)
            self._server = _Server(config, gateway.stopping, started, seats=seats, pace=pace, warnings=warnings)
            self._server.tls = self._tls
            self._server.should_exit = self._stop
            await self._server.serve(list(listening))


def _dial(target: Target, channels: int) -> Dialled:
    return Dialled(target.address, target.trust, channels)


def _tell(warnings: Warnings, what: dict[str, Any]) -> None:
    """Logs what went wrong in the event loop beside all requests, once a second at most."""
    warnings.warn("defect in the event loop", problem=str(what.get("message")), exception=repr(what.get("exception")))


class _Server(uvicorn.Server):
    """Uvicorn's, which accepts connections in our way, and ends the streams before it waits for what is in flight."""

    tls: ssl.SSLContext | None = None

    def __init__(
        self,
        config: uvicorn.Config,
        stopping: asyncio.Event,
        started: Callable[[], None],
        *,
        seats: Seats,
        pace: Pace,
        warnings: Warnings,
    ) -> None:
        super().__init__(config)
        self._listeners: list[Listener] = []
        self._stopping = stopping
        self._tell = started
        self._seats = seats
        self._pace = pace
        self._warnings = warnings

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to whoever runs this."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens. Uvicorn's own way has no limit, and writes a traceback for each connection that it cannot accept."""
        await self.lifespan.startup()

        def make(seat: Seat, place: Place) -> Protocol:
            return Protocol(self.config, self.server_state, seat, place, self._warnings)

        self._listeners = [
            Listener(each, make, pace=self._pace, seats=self._seats, warnings=self._warnings, tls=self.tls)
            for each in sockets or ()
        ]
        self.servers = self._listeners  # type: ignore[assignment]  # uvicorn closes them, and waits for that
        for listener in self._listeners:
            listener.start()
        self.started = True
        self._tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        # What callers have sent already is read first: it would be lost with its connection.
        self._pace.end()
        for _ in range(_LAST_LOOKS):
            for listener in self._listeners:
                listener.accept_all()
            await asyncio.sleep(_LAST_LOOK_SECONDS)
        await super().shutdown(sockets)
