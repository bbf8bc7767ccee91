"""What uvicorn and h11 leave open, on their private parts: time-outs, ceilings, and what is said to what is no HTTP.

`test_protocol.py` holds what is used of them here.
"""

import re
import secrets
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from service.rest_gateway import failures
from service.rest_gateway.exchange import Receive, Scope, Send
from service.rest_gateway.failures import Refused
from service.rest_gateway.pace import Place
from service.rest_gateway.seats import Seat
from service.rest_gateway.warnings import Warnings

if TYPE_CHECKING:
    import asyncio

MAX_HEAD_BYTES = 16 * 1024
MAX_HEAD_LINES = 100
HEAD_SECONDS = 10.0
"""How long a head may take from its first byte, a first request from the connection, and what is left of a body behind
its answer."""
IDLE_SECONDS = 75.0
"""How long a connection may wait for another request: longer than the usual proxy keeps one, which should hang up."""
STALL_SECONDS = 30.0
"""How long a caller may read nothing of what waits for it."""

_LINGER_SECONDS = 1.0
# h11 takes what it gets at once for one event, if it is complete, however long.
_SLICE_BYTES = 16 * 1024
# A chunk takes as long to read as a kilobyte, so a body may not have many more chunks than kilobytes.
_FREE_CHUNKS = 1_000
_CHUNK_BYTES = 1_024
_END_OF_HEAD = re.compile(rb"\n\r?\n")


class _Connection(h11.Connection):
    """h11's, which ignores a blank line in front of a request (RFC 9112, 2.2), and bounds what a request takes."""

    _chunks = 0
    _bytes = 0

    def next_event(self) -> Any:
        """Reads on. Raises `h11.RemoteProtocolError` at what is no HTTP, or too much of it."""
        if self.their_state is h11.IDLE:
            self._chunks = self._bytes = 0
            if not self._check_head():
                return h11.NEED_DATA
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > _FREE_CHUNKS + self._bytes // _CHUNK_BYTES:
                raise h11.RemoteProtocolError("the body has too many small chunks")
        return event

    def _check_head(self) -> bool:
        """Looks at a head before it is taken apart, line by line. Returns whether there is anything to look at."""
        received, _ = self.trailing_data
        if received.startswith((b"\r\n", b"\n")):
            self._receive_buffer.maybe_extract_lines()  # takes one blank line away
            received, _ = self.trailing_data
        if received == b"\r":
            return False  # the rest of a blank line is to come
        end = _END_OF_HEAD.search(received)
        head = received if end is None else received[: end.start()]
        if len(head) > MAX_HEAD_BYTES or head.count(b"\n") > MAX_HEAD_LINES:
            raise h11.RemoteProtocolError("the head is too long")
        return True


class Protocol(H11Protocol):
    """Uvicorn's, for one connection that has a seat.

    On h11: the quicker httptools loses the body of a request that offers to go over to HTTP/2, as Java's client does.

    Args:
        config: uvicorn's.
        state: what uvicorn knows of all connections.
        seat: the connection's place among all connections.
        place: the connection's place in the pace of what no key has paid for.
        warnings: where it is told that something is no HTTP.
    """

    def __init__(
        self, config: uvicorn.Config, state: ServerState, seat: Seat, place: Place, warnings: Warnings
    ) -> None:
        super().__init__(config, state, {})
        self.conn = _Connection(h11.SERVER, MAX_HEAD_BYTES)
        self.app = self._timed
        self._seat = seat
        self._place = place
        self._warnings = warnings
        self._paid = False
        self._queued = False
        self._refused = False
        self._waits_for = ""
        self._since = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begins to wait for the first request."""
        super().connection_made(transport)
        self._seat.close = transport.abort
        place = self._place  # without the protocol: what refers to each other is freed by the collector alone
        self._seat.asks = lambda: place.waits
        self._settle(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Reads on behind a refusal too, without looking: closed with something unread, it would never be seen."""
        if self._waits_for == "request":
            self._since = time.monotonic()
        for start in range(0, len(data), _SLICE_BYTES):
            if self._refused or self.transport.is_closing():
                return
            super().data_received(data[start : start + _SLICE_BYTES])
        self._settle(IDLE_SECONDS)

    def on_response_complete(self) -> None:
        """Goes on to the next request, or waits for it."""
        self._since = time.monotonic()  # of the next one, if it is here already
        if not self.transport.is_closing():
            if not self._paid:
                self._place.set_paid(paid=False)
            # One that was sent before the answer waits for a turn, with a good key too: a round may have many of them.
            if self.conn.their_state is h11.DONE and self.conn.trailing_data[0]:
                self._queued = True
                self.flow.pause_reading()
                self._place.call_in_turn(partial(self.loop.call_soon, self._go_on))
                self._settle(IDLE_SECONDS)
                return
        self._go_on()

    def _go_on(self) -> None:
        self._queued = False
        super().on_response_complete()
        self._settle(IDLE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets go of everything."""
        self._waits_for = "end"  # a turn that comes later starts no timer
        self._stop_timer()
        if self._stall is not None:
            self._stall.cancel()
        self._seat.leave()
        self._place.leave()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Gives the caller some time to read what waits for it."""
        super().pause_writing()
        self._stall = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Goes on writing."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answers and hangs up; in the middle of another answer it only hangs up."""
        self._refuse(failures.malformed("The request is not HTTP/1.1, or its head is too long"), msg)

    async def _timed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, whose time has run since its first byte."""
        scope["started"], scope["pay"], self._paid = self._since, self._pay, False
        await self.config.loaded_app(scope, receive, send)

    def _pay(self, owner: bytes) -> None:
        """Notes that the request has a good key: until one without has been answered, the connection is not paced."""
        self._paid = True
        if not self.transport.is_closing():
            self._place.set_paid(paid=True, owner=owner)

    def _settle(self, idle_seconds: float) -> None:
        """Sees what the connection waits for now, and how long it may."""
        if self.transport.is_closing():
            self._end()
        if self._refused or self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            waits_for = ""
        elif self._queued:
            waits_for = "turn"
        elif self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            waits_for = "request"
        else:
            waits_for = "rest"  # of a head, or of a body that has been answered already
        if waits_for == self._waits_for:
            return
        self._waits_for = waits_for
        if waits_for:
            self._seat.wait(spare=self.cycle is not None and not self._place.paid)
        if waits_for == "turn":
            self._stop_timer()
        elif waits_for:
            self._start_timer(idle_seconds if waits_for == "request" else HEAD_SECONDS, self._expire)
        else:
            self._seat.work()
            self._stop_timer()

    def _start_timer(self, seconds: float, act: Callable[[], object]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, act)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        """Bounds an orderly end, which waits until the caller has read all."""
        if self._waits_for != "end":
            self._waits_for = "end"
            self._seat.wait()
            self._start_timer(STALL_SECONDS, self.transport.abort)

    def _expire(self) -> None:
        """Closes a connection that has waited long enough."""
        if self._waits_for == "rest" and self.conn.their_state is h11.IDLE:
            text = f"The head of the request did not arrive within {HEAD_SECONDS:g} seconds"
            self._refuse(failures.malformed(text, HTTPStatus.REQUEST_TIMEOUT), "half a head")
        elif self._waits_for == "rest" or self.transport.get_write_buffer_size():
            self.transport.abort()  # an orderly end would wait for the caller
        else:
            self.transport.close()

    def _refuse(self, refused: Refused, problem: str) -> None:
        self._refused = True
        begun = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if begun or self.transport.is_closing():
            self.transport.close()
            self._end()
            return
        request_id = secrets.token_hex(8)
        self._seat.wait(spare=True)
        self._warnings.warn("no HTTP", problem=problem, x_request_id=request_id)
        self.transport.write(answer(refused, request_id))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._start_timer(_LINGER_SECONDS, self.transport.abort)


def answer(refused: Refused, request_id: str) -> bytes:
    """Writes an answer behind which the connection ends, in bytes."""
    body = refused.body(request_id)
    head = [
        f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}",
        "content-type: application/json",
        "connection: close",
        f"x-request-id: {request_id}",
        *(f"{name.lower()}: {value}" for name, value in refused.headers.items()),
        f"content-length: {len(body)}",
        "\r\n",
    ]
    return "\r\n".join(head).encode() + body
