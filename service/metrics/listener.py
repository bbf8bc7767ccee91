"""Serves `/metrics` over HTTP/1.1, and nothing else, from threads of its own.

Scrapers cannot stop calls: connections are few, accepted at a bounded rate and ended after some seconds, the oldest
gives way to a new one, and the text is written anew ten times a second at most.
"""

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from service.metrics import exposition
from service.runtime import log

_CONNECTIONS = 8
_PER_SECOND = 50
_BURST = 16
_REQUEST_SECONDS = 5.0
_MAX_HEAD_BYTES = 8 * 1024
_KEPT_SECONDS = 0.1
_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 5.0

_PLAIN = "text/plain; charset=utf-8"


class MetricsListener:
    """Serves the metrics on sockets, which several processes may share: any of them answers for all.

    Args:
        listening: the sockets.
    """

    def __init__(self, listening: Sequence[socket.socket]) -> None:
        self._listening = listening
        self._open: deque[socket.socket] = deque()
        self._written: dict[str, tuple[float, bytes, str]] = {}
        self._writing = threading.Lock()
        self._stopping = False
        self._allowed = float(_BURST)
        self._counted = time.monotonic()
        for each in listening:
            each.setblocking(False)

    def start(self) -> None:
        """Starts the thread that accepts connections."""
        threading.Thread(target=self._accept, name="metrics-listener", daemon=True).start()

    def stop(self) -> None:
        """Accepts no more connections. The sockets stay open, because other processes may use them."""
        self._stopping = True

    def _accept(self) -> None:
        while not self._stopping:
            try:
                ready: list[socket.socket]
                ready, _, _ = select.select(self._listening, [], [], _LOOK_SECONDS)
                for each in ready:
                    self._pace()
                    self._accept_one(each)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is tried again, and calls go on
                log.error("metrics not served", reason=f"{type(error).__name__}: {error}")
                time.sleep(_AGAIN_SECONDS)

    def _pace(self) -> None:
        """Waits until one more connection may be accepted."""
        now = time.monotonic()
        self._allowed = min(_BURST, self._allowed + (now - self._counted) * _PER_SECOND)
        self._counted = now
        if self._allowed < 1:
            time.sleep((1 - self._allowed) / _PER_SECOND)
        self._allowed -= 1

    def _accept_one(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except BlockingIOError:  # another process was first
            return
        self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        self._open.append(connection)
        if len(self._open) > _CONNECTIONS:
            with suppress(OSError, IndexError):
                self._open.popleft().shutdown(socket.SHUT_RDWR)
        thread = threading.Thread(target=self._serve, args=(connection,), name="metrics-request", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads
            self._end(connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(_REQUEST_SECONDS)
            head = _read_head(connection, time.monotonic() + _REQUEST_SECONDS)
            if head:
                connection.sendall(self._answer(head))
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the scraper has gone, or is too slow
        except Exception:  # noqa: BLE001  # after any defect the next scrape is served
            log.exception("metrics not written")
        finally:
            self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        with suppress(ValueError):
            self._open.remove(connection)
        connection.close()

    def _answer(self, head: bytes) -> bytes:
        first, _, rest = head.partition(b"\r\n")
        method, _, target = first.partition(b" ")
        path = target.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _response("404 Not Found", b"only /metrics is served here\n", _PLAIN)
        if method != b"GET":
            return _response("405 Method Not Allowed", b"use GET\n", _PLAIN, "Allow: GET\r\n")
        body, media_type = self._text(_header(rest, b"accept"))
        return _response("200 OK", body, media_type)

    def _text(self, accept: str) -> tuple[bytes, str]:
        """Returns the text in the format that is asked for, which is at most `_KEPT_SECONDS` old."""
        with self._writing:
            wanted = exposition.format_of(accept)
            written = self._written.get(wanted)
            if written is None or written[0] + _KEPT_SECONDS < time.monotonic():
                written = self._written[wanted] = (time.monotonic(), *exposition.text(wanted))
            return written[1], written[2]


def _read_head(connection: socket.socket, deadline: float) -> bytes:
    """Reads up to the blank line; returns nothing if that does not come in time or is too far away."""
    head = b""
    while b"\r\n\r\n" not in head:
        if len(head) > _MAX_HEAD_BYTES or time.monotonic() > deadline:
            return b""
        piece = connection.recv(4096)
        if not piece:
            return b""
        head += piece
    return head


def _header(lines: bytes, name: bytes) -> str:
    for line in lines.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode("latin-1")
    return ""


def _response(status: str, body: bytes, media_type: str, more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
        f"X-Content-Type-Options: nosniff\r\nConnection: close\r\n{more}\r\n"
    )
    return head.encode() + body
