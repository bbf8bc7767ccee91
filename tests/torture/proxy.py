"""A TCP proxy that cuts, hangs and half-closes the connections that run through it."""

import contextlib
import socket
import struct
import threading
from enum import Enum, auto

_CHUNK = 65_536
_ABORT = struct.pack("ii", 1, 0)


class Mode(Enum):
    """What the proxy does with what it receives."""

    FORWARD = auto()
    REFUSE = auto()  # new connections are closed at once
    HANG = auto()  # nothing is passed on; it is all delivered when the fault ends
    LOSE_REQUESTS = auto()  # what callers send is lost, and they are not told: the far end looks dead
    LOSE_ANSWERS = auto()  # what is sent to callers is lost: calls take effect and look unanswered


class _Connection:
    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = near, far
        self.lost: set[Mode] = set()  # the directions in which bytes are missing

    def abort(self) -> None:
        """Ends both sides with a reset."""
        for side in (self.near, self.far):
            with contextlib.suppress(OSError):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes both sockets."""
        self.near.close()
        self.far.close()


class Proxy:
    """Listens on a port of its own and forwards to a target, which may change.

    Attributes:
        port: where it listens on 127.0.0.1.
        target: the port on 127.0.0.1 to forward to; 0 refuses.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.target = 0
        self._mode = Mode.FORWARD
        self._changed = threading.Condition()
        self._connections: set[_Connection] = set()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def set(self, mode: Mode) -> None:
        """Changes what is done with all connections. Those that have lost bytes end when forwarding begins again."""
        with self._changed:
            self._mode = mode
            spoiled = [each for each in self._connections if each.lost] if mode is Mode.FORWARD else []
            self._changed.notify_all()
        for connection in spoiled:
            connection.abort()

    def cut(self) -> int:
        """Resets every connection. Returns how many there were."""
        with self._changed:
            open_ = list(self._connections)
        for connection in open_:
            connection.abort()
        return len(open_)

    def close(self) -> None:
        """Ends it, with all connections."""
        self.target = 0
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.set(Mode.FORWARD)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._mode is Mode.REFUSE or not self.target:
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for side in (near, far):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(near, far)
            with self._changed:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="proxied", daemon=True).start()

    def _serve(self, connection: _Connection) -> None:
        back = threading.Thread(
            target=self._pump,
            args=(connection, connection.far, connection.near, Mode.LOSE_ANSWERS),
            name="proxied-back",
            daemon=True,
        )
        back.start()
        self._pump(connection, connection.near, connection.far, Mode.LOSE_REQUESTS)
        back.join()
        with self._changed:
            self._connections.discard(connection)
        connection.close()

    def _pump(self, connection: _Connection, source: socket.socket, sink: socket.socket, loses: Mode) -> None:
        while True:
            try:
                data = source.recv(_CHUNK)
            except OSError:
                data = b""
            with self._changed:
                self._changed.wait_for(lambda: self._mode is not Mode.HANG)
                if self._mode is loses:
                    connection.lost.add(loses)
                lost = loses in connection.lost
                if lost and not data:
                    # The end is lost too: a half-open connection is one whose end nothing has told.
                    self._changed.wait_for(lambda: self._mode is Mode.FORWARD)
            if not lost and data:
                try:
                    sink.sendall(data)
                except OSError:
                    data = b""
            if not data:
                connection.abort()
                return
