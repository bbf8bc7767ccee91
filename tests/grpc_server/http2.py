"""A caller and a server that speak just enough HTTP/2 to do what gRPC's own do not: stop half-way."""

import socket
import struct
from collections.abc import Iterable

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW_SIZE = 4


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _text(value: str) -> bytes:
    """Writes a text for HPACK, without Huffman's code. Its length is an integer with a prefix of seven bits."""
    encoded = value.encode()
    if len(encoded) < 127:
        return bytes([len(encoded)]) + encoded
    length, rest = [127], len(encoded) - 127
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes([*length, rest]) + encoded


def refuse_the_first_call(listener: socket.socket) -> None:
    """Serves one connection as a server that stops before it has seen a call: nothing listens afterwards."""
    connection, _ = listener.accept()
    listener.close()
    with connection:
        connection.sendall(_frame(SETTINGS, 0, 0))
        _exactly(connection, len(_PREFACE))
        while (frame := _read(connection)) is not None and frame[0] != HEADERS:
            pass
        no_stream, no_error = 0, 0
        connection.sendall(_frame(GOAWAY, 0, 0, struct.pack(">II", no_stream, no_error)))
        # Until the caller has closed its end, or what is not read would have the system drop what was sent.
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass


class Caller:
    """One connection.

    Args:
        port: of the server on 127.0.0.1.
        window: how many bytes of each answer the server may send before it is told to go on.
    """

    def __init__(self, port: int, window: int = 65_535) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        settings = struct.pack(">HI", _INITIAL_WINDOW_SIZE, window)
        self.socket.sendall(_PREFACE + _frame(SETTINGS, 0, 0, settings))
        self._next = 1

    def begin(self, method: str, metadata: Iterable[tuple[str, str]] = ()) -> int:
        """Sends the headers of a call and no message. Returns the stream's number."""
        stream, self._next = self._next, self._next + 2
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "test"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *metadata,
        ]
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)
        self.socket.sendall(_frame(HEADERS, _END_HEADERS, stream, block))
        return stream

    def send(self, stream: int, message: bytes, length: int | None = None, *, end: bool = False) -> None:
        """Sends a message, or the beginning of one that has another length, in frames of at most 16 KiB."""
        rest = b"\0" + struct.pack(">I", len(message) if length is None else length) + message
        while rest:
            part, rest = rest[:16_384], rest[16_384:]
            self.socket.sendall(_frame(DATA, _END_STREAM if end and not rest else 0, stream, part))

    def frames(self, stream: int) -> list[int]:
        """Reads until a stream, or the connection, has ended. Returns the kinds of the stream's frames."""
        found = []
        while (frame := _read(self.socket)) is not None:
            kind, flags, of = frame
            if of == stream:
                found.append(kind)
                if kind == RST_STREAM or (kind in {DATA, HEADERS} and flags & _END_STREAM):
                    break
        return found

    def closed(self) -> bool:
        """Reads until the server has closed the connection. Returns False if it is open after the time-out."""
        try:
            while self.socket.recv(65_536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def close(self) -> None:
        """Closes the connection."""
        self.socket.close()


def _read(connection: socket.socket) -> tuple[int, int, int] | None:
    head = _exactly(connection, 9)
    if head is None:
        return None
    length = int.from_bytes(head[:3], "big")
    kind, flags, stream = struct.unpack(">BBI", head[3:])
    payload = _exactly(connection, length) or b""
    if kind == PING and not flags & _ACK:
        connection.sendall(_frame(PING, _ACK, 0, payload))
    elif kind == SETTINGS and not flags & _ACK:
        connection.sendall(_frame(SETTINGS, _ACK, 0))
    return kind, flags, stream & 0x7FFFFFFF


def _exactly(connection: socket.socket, length: int) -> bytes | None:
    found = b""
    while len(found) < length:
        part = connection.recv(length - len(found))
        if not part:
            return None
        found += part
    return found
