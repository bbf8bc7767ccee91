"""Accepts connections, as many as there are seats, and goes on when the process is out of descriptors."""

import asyncio
import errno
import secrets
import socket
import ssl
from collections.abc import Callable

from service.rest_gateway import failures
from service.rest_gateway.pace import Pace, Place
from service.rest_gateway.protocol import answer
from service.rest_gateway.seats import Seat, Seats
from service.rest_gateway.warnings import Warnings

_HANDSHAKE_SECONDS = 10.0
_SHUTDOWN_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
_LINGER_SECONDS = 1.0
_MAX_LINGERING = 16
_NO_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_GONE_ALREADY = (BlockingIOError, InterruptedError, ConnectionAbortedError)


class Listener:
    """One listening socket.

    Args:
        listening: the socket.
        make: makes the protocol of a connection.
        pace: the event loop's, in whose turns connections are accepted.
        seats: the places of the connections of all listeners.
        warnings: where a lack of anything is told.
        tls: the certificate and its key; None serves plaintext.
    """

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[Seat, Place], asyncio.Protocol],
        *,
        pace: Pace,
        seats: Seats,
        warnings: Warnings,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._socket = listening
        self._make = make
        self._pace = pace
        self._place = pace.take(listening.fileno(), listens=True)
        self._seats = seats
        self._warnings = warnings
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._begun: set[asyncio.Task[None]] = set()
        self._lingering = 0
        self._resuming: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to accept."""
        self._socket.setblocking(False)
        self._resume()

    def accept_all(self) -> None:
        """Accepts all connections that wait."""
        while self._accept():
            pass

    def close(self) -> None:
        """Accepts no more. The connections go on."""
        self._loop.remove_reader(self._socket.fileno())
        self._place.leave()
        if self._resuming is not None:
            self._resuming.cancel()

    async def wait_closed(self) -> None:
        """Returns at once: what is left is the server's."""

    def _resume(self) -> None:
        self._resuming = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> bool:
        """Accepts one connection: the next one has a turn of its own. Returns whether there was one."""
        try:
            connection, _ = self._socket.accept()
        except _GONE_ALREADY:
            return False
        except OSError as error:
            if error.errno not in _NO_RESOURCES:
                raise
            # The socket stays readable, so it would be called again at once.
            self._loop.remove_reader(self._socket.fileno())
            self._resuming = self._loop.call_later(_PAUSE_SECONDS, self._resume)
            self._warnings.warn("cannot accept connections", problem=error.strerror)
            return False
        connection.setblocking(False)
        self._begin(connection)
        return True

    def _begin(self, connection: socket.socket) -> None:
        seat = self._seats.take()
        if seat is None:
            self._warnings.warn("too many connections", limit=self._seats.limit)
            self._turn_away(connection)
            return
        seat.close = connection.close
        place = self._pace.take(connection.fileno())
        task = self._loop.create_task(self._connect(connection, seat, place))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    async def _connect(self, connection: socket.socket, seat: Seat, place: Place) -> None:
        if connection.fileno() == -1:
            place.leave()
            return  # another has taken the seat
        # From here on the connection is the event loop's, which closes it if the task is cancelled.
        seat.close = _cancel(asyncio.current_task())
        seconds = {} if self._tls is None else {"handshake": _HANDSHAKE_SECONDS, "shutdown": _SHUTDOWN_SECONDS}
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._make(seat, place),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=seconds.get("handshake"),
                ssl_shutdown_timeout=seconds.get("shutdown"),
            )
        except OSError:  # the caller is gone, or it does not speak TLS
            seat.leave()
            place.leave()
        except asyncio.CancelledError:
            seat.leave()
            place.leave()
            raise

    def _turn_away(self, connection: socket.socket) -> None:
        """Says that there is no seat, in plaintext, and hangs up."""
        if self._tls is not None or self._lingering >= _MAX_LINGERING:
            connection.close()
            return
        try:
            connection.send(answer(failures.too_many_connections(), secrets.token_hex(8)))
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            connection.close()
            return
        # Closed with a request unread, the answer would never be seen.
        self._lingering += 1
        self._loop.call_later(_LINGER_SECONDS, self._let_go, connection)

    def _let_go(self, connection: socket.socket) -> None:
        self._lingering -= 1
        connection.close()


def _cancel(task: asyncio.Task[None] | None) -> Callable[[], object]:
    return lambda: task and task.cancel()
