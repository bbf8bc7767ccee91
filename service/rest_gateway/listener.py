"""Accepts connections within the limit, and continues after the process had no free file descriptors."""

import asyncio
import errno
import secrets
import socket
import ssl
from collections.abc import Callable

from service.rest_gateway import errors
from service.rest_gateway.connection_limit import ConnectionLimit, ConnectionSlot
from service.rest_gateway.paced_selector import PacedSelector
from service.rest_gateway.paced_socket import PacedSocket
from service.rest_gateway.responses import raw_error_response
from service.rest_gateway.warning_log import WarningLog

_HANDSHAKE_SECONDS = 10.0
_SHUTDOWN_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
_LINGER_SECONDS = 1.0
_MAX_LINGERING = 16
_NO_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_NOTHING_TO_ACCEPT = (BlockingIOError, InterruptedError, ConnectionAbortedError)


class Listener:
    """One listening socket.

    Args:
        listening: the socket.
        make_protocol: makes the protocol of a connection.
        selector: the event loop's, which paces the accepting.
        connections: limits the open connections of all listeners.
        warnings: logs a lack of connections or file descriptors.
        tls: the certificate and its key; None serves plaintext.
    """

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[ConnectionSlot, PacedSocket], asyncio.Protocol],
        *,
        selector: PacedSelector,
        connections: ConnectionLimit,
        warnings: WarningLog,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._socket = listening
        self._make_protocol = make_protocol
        self._selector = selector
        self._paced = selector.add(listening.fileno(), is_listener=True)
        self._connections = connections
        self._warnings = warnings
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._lingering = 0
        self._resuming: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to accept connections."""
        self._socket.setblocking(False)
        self._resume()

    def accept_all(self) -> None:
        """Accepts all connections in the backlog."""
        while self._accept():
            pass

    def close(self) -> None:
        """Stops accepting. Open connections stay open."""
        self._loop.remove_reader(self._socket.fileno())
        self._paced.remove()
        if self._resuming is not None:
            self._resuming.cancel()

    async def wait_closed(self) -> None:
        """Returns at once: uvicorn's server waits for the connections."""

    def _resume(self) -> None:
        self._resuming = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def _accept(self) -> bool:
        """Accepts one connection; each has a paced event of its own. Returns whether there was one."""
        try:
            connection, _ = self._socket.accept()
        except _NOTHING_TO_ACCEPT:
            return False
        except OSError as error:
            if error.errno not in _NO_RESOURCES:
                raise
            # The socket stays readable, so the loop would call this again at once.
            self._loop.remove_reader(self._socket.fileno())
            self._resuming = self._loop.call_later(_PAUSE_SECONDS, self._resume)
            self._warnings.warn("cannot accept connections", problem=error.strerror)
            return False
        connection.setblocking(False)
        self._start_connection(connection)
        return True

    def _start_connection(self, connection: socket.socket) -> None:
        slot = self._connections.acquire()
        if slot is None:
            self._warnings.warn("too many connections", limit=self._connections.limit)
            self._reject(connection)
            return
        slot.close = connection.close
        paced = self._selector.add(connection.fileno())
        task = self._loop.create_task(self._connect(connection, slot, paced))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket, slot: ConnectionSlot, paced: PacedSocket) -> None:
        if connection.fileno() == -1:
            paced.remove()
            return  # closed for a newer connection
        # From here on the event loop owns the connection, and closes it if this task is cancelled.
        slot.close = _canceller(asyncio.current_task())
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._make_protocol(slot, paced),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else _HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=None if self._tls is None else _SHUTDOWN_SECONDS,
            )
        except OSError:  # the client disconnected, or does not speak TLS
            slot.release()
            paced.remove()
        except asyncio.CancelledError:
            slot.release()
            paced.remove()
            raise

    def _reject(self, connection: socket.socket) -> None:
        """Answers that the limit of connections is reached, if the client speaks plaintext, and closes."""
        if self._tls is not None or self._lingering >= _MAX_LINGERING:
            connection.close()
            return
        try:
            connection.send(raw_error_response(errors.too_many_connections(), secrets.token_hex(8)))
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            connection.close()
            return
        # Closing with an unread request would reset the connection, and the client would not see the answer.
        self._lingering += 1
        self._loop.call_later(_LINGER_SECONDS, self._end_lingering, connection)

    def _end_lingering(self, connection: socket.socket) -> None:
        self._lingering -= 1
        connection.close()


def _canceller(task: asyncio.Task[None] | None) -> Callable[[], object]:
    return lambda: task and task.cancel()
