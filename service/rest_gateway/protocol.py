"""Uvicorn's HTTP protocol with time-outs, limits, and JSON answers to input that is not HTTP.

It overrides inner parts of uvicorn; `test_protocol.py` tests that they exist and what they do.
"""

import secrets
import time
from functools import partial
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from service.rest_gateway import errors
from service.rest_gateway.asgi import Receive, Scope, Send
from service.rest_gateway.connection_limit import ConnectionSlot
from service.rest_gateway.connection_phase import Phase, current_phase
from service.rest_gateway.h11_connection import MAX_HEAD_BYTES, BoundedConnection
from service.rest_gateway.http_error import HTTPError
from service.rest_gateway.paced_socket import PacedSocket
from service.rest_gateway.responses import raw_error_response
from service.rest_gateway.timer import Timer
from service.rest_gateway.warning_log import WarningLog

HEAD_SECONDS = 10.0
"""How long a head may take from its first byte, the first request from the connection, and the rest of a body that was
answered before it arrived."""
IDLE_SECONDS = 75.0
"""How long a connection may wait for another request: longer than most proxies, which should close it first."""
STALL_SECONDS = 30.0
"""How long a client may not read anything of what was sent to it."""

_LINGER_SECONDS = 1.0
# h11 makes one event of all the data that it gets at once, however long.
_SLICE_BYTES = 16 * 1024


class GatewayProtocol(H11Protocol):
    """The protocol of one connection.

    It uses h11: httptools, which is faster, loses the body of a request that offers an upgrade to HTTP/2, as each
    request of Java's client does.

    Args:
        config: uvicorn's configuration.
        state: uvicorn's state of all connections.
        slot: the connection's slot within the limit of connections.
        socket: the connection's socket in the event loop's selector.
        warnings: logs input that is not HTTP.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        slot: ConnectionSlot,
        socket: PacedSocket,
        warnings: WarningLog,
    ) -> None:
        super().__init__(config, state, {})
        self.conn = BoundedConnection(h11.SERVER, MAX_HEAD_BYTES)
        self.app = self._serve
        self._slot = slot
        self._socket = socket
        self._warnings = warnings
        self._authenticated = False
        self._queued = False
        self._rejected = False
        self._phase = Phase.NEW
        self._request_started = time.monotonic()
        self._timer = Timer(self.loop)
        self._stall_timer = Timer(self.loop)

    def connection_made(self, transport: Any) -> None:
        """Waits for the first request."""
        super().connection_made(transport)
        self._slot.close = transport.abort
        socket = self._socket  # a reference to self would make a cycle, which only the garbage collector frees
        self._slot.has_unread_input = lambda: socket.is_queued
        self._update_phase(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Parses data. After a rejection data is dropped: if it were left unread, the close would reset the answer."""
        if self._phase is Phase.IDLE:
            self._request_started = time.monotonic()
        for start in range(0, len(data), _SLICE_BYTES):
            if self._rejected or self.transport.is_closing():
                return
            super().data_received(data[start : start + _SLICE_BYTES])
        self._update_phase(IDLE_SECONDS)

    def on_response_complete(self) -> None:
        """Continues with the next request, or waits for it."""
        self._request_started = time.monotonic()  # of the next request, if it is here already
        if not self.transport.is_closing():
            if not self._authenticated:
                self._socket.set_authenticated(authenticated=False)
            # Pipelined requests are paced with a valid key too: one iteration of the loop may read many of them.
            if self.conn.their_state is h11.DONE and self.conn.trailing_data[0]:
                self._queued = True
                self.flow.pause_reading()
                self._socket.queue_callback(partial(self.loop.call_soon, self._next_request))
                self._update_phase(IDLE_SECONDS)
                return
        self._next_request()

    def _next_request(self) -> None:
        self._queued = False
        super().on_response_complete()
        self._update_phase(IDLE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Releases all that the connection holds."""
        self._phase = Phase.CLOSING  # a queued callback that runs later starts no timer
        self._timer.stop()
        self._stall_timer.stop()
        self._slot.release()
        self._socket.remove()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Starts the time-out for a client that does not read."""
        super().pause_writing()
        self._stall_timer.start(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stops that time-out."""
        self._stall_timer.stop()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answers input that is not HTTP, and closes the connection."""
        self._reject(errors.malformed("The request is not HTTP/1.1, or its head is too long"), msg)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request. Its time counts from its first byte."""
        scope["started"], self._authenticated = self._request_started, False
        scope["set_authenticated"] = self._set_authenticated
        await self.config.loaded_app(scope, receive, send)

    def _set_authenticated(self, owner: bytes) -> None:
        """Stops pacing the connection, until a request without a valid key has been answered on it."""
        self._authenticated = True
        if not self.transport.is_closing():
            self._socket.set_authenticated(authenticated=True, owner=owner)

    def _update_phase(self, idle_seconds: float) -> None:
        """Finds the phase of the connection, and starts the time-out of a new one."""
        if self.transport.is_closing():
            self._limit_closing()
        if self._rejected or self.transport.is_closing():
            return
        phase = current_phase(self.conn, self.cycle, queued=self._queued)
        if phase is self._phase:
            return
        self._phase = phase
        if phase is Phase.SERVING:
            self._slot.set_busy()
        else:
            self._slot.set_idle(unauthenticated=self.cycle is not None and not self._socket.authenticated)
        if phase in {Phase.IDLE, Phase.PARTIAL}:
            self._timer.start(idle_seconds if phase is Phase.IDLE else HEAD_SECONDS, self._time_out)
        else:
            self._timer.stop()

    def _limit_closing(self) -> None:
        """Limits the time of a close, which waits until the client has read everything."""
        if self._phase is not Phase.CLOSING:
            self._phase = Phase.CLOSING
            self._slot.set_idle()
            self._timer.start(STALL_SECONDS, self.transport.abort)

    def _time_out(self) -> None:
        """Closes a connection whose time is over."""
        if self._phase is Phase.PARTIAL and self.conn.their_state is h11.IDLE:
            text = f"The head of the request did not arrive within {HEAD_SECONDS:g} seconds"
            self._reject(errors.malformed(text, HTTPStatus.REQUEST_TIMEOUT), "incomplete head")
        elif self._phase is Phase.PARTIAL or self.transport.get_write_buffer_size():
            self.transport.abort()  # close() would wait for the client
        else:
            self.transport.close()

    def _reject(self, error: HTTPError, problem: str) -> None:
        """Sends an error, unless another response has begun, and closes the connection."""
        self._rejected = True
        begun = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if begun or self.transport.is_closing():
            self.transport.close()
            self._limit_closing()
            return
        request_id = secrets.token_hex(8)
        self._slot.set_idle(unauthenticated=True)
        self._warnings.warn("not HTTP", problem=problem, x_request_id=request_id)
        self.transport.write(raw_error_response(error, request_id))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer.start(_LINGER_SECONDS, self.transport.abort)
