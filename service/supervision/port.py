"""A port that several processes share, and that is reserved for them while none of them listens."""

import errno
import socket

from service.runtime.operator_error import OperatorError

# A name may resolve to an address of a family that this machine does not have.
_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class PortUnavailable(OperatorError):
    """The port is taken, or cannot be shared; the text says why."""


class SharedPort:
    """Reserves a port. Processes of this user that ask to share it may bind it; all others get an error.

    The sockets here are bound and do not listen, so they get no connections.

    Args:
        address: `host:port`; port 0 takes a free one.

    Raises:
        PortUnavailable: it is taken, or no address of this machine, or this system cannot share ports.
    """

    def __init__(self, address: str) -> None:
        if not hasattr(socket, "SO_REUSEPORT"):
            raise PortUnavailable(
                "this system cannot share a port among processes: serve with one worker, and REST with `gateway`"
            )
        host, _, port = address.rpartition(":")
        self.number = int(port)
        self._sockets: list[socket.socket] = []
        refused: OSError | None = None
        try:
            for family, kind, protocol, _, where in socket.getaddrinfo(
                host.strip("[]"), self.number, type=socket.SOCK_STREAM
            ):
                try:
                    self._reserve(socket.socket(family, kind, protocol), (where[0], self.number, *where[2:]))
                except OSError as error:
                    refused = error
                    if error.errno not in _NOT_HERE:
                        raise
            if refused is not None and not self._sockets:
                raise refused
        except OSError as error:
            self.close()
            raise PortUnavailable(f"cannot listen on {address}: {error.strerror}") from error
        self.address = f"{host}:{self.number}"

    def _reserve(self, end: socket.socket, where: tuple[object, ...]) -> None:
        self._sockets.append(end)
        try:
            # Bound without SO_REUSEPORT, so that a second server of the same user gets an error. SO_REUSEADDR allows
            # connections of an earlier server that are in TIME_WAIT. Then only processes that ask to share may bind it.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            end.bind(where)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except OSError:
            self._sockets.pop().close()
            raise
        self.number = end.getsockname()[1]

    def close(self) -> None:
        """Closes the sockets of this process."""
        for end in self._sockets:
            end.close()
