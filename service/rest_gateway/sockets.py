"""Opens the listening sockets."""

import errno
import socket
from typing import Any

_BACKLOG = 2_048
# A name may resolve to an address of a family that this machine does not have.
_NO_SUCH_ADDRESS = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def listen(address: str, *, shared: bool = False) -> list[socket.socket]:
    """Listens on every address that a name resolves to.

    Args:
        address: `host:port`; port 0 takes a free port, the same for each address.
        shared: whether other processes may listen on the port, or have reserved it, with SO_REUSEPORT.

    Raises:
        OSError: it cannot listen on one of the addresses, or on none.
    """
    host, _, text = address.rpartition(":")
    port = int(text)
    listening: list[socket.socket] = []
    missing: OSError | None = None
    found = dict.fromkeys(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM))
    for family, _, _, _, where in found:
        try:
            # The unspecified IPv6 address also takes the port of IPv4, which may be another address of the name.
            opened = _bind(family, (where[0], port, *where[2:]), shared=shared, v6_only=len(found) > 1)
        except OSError as error:
            if error.errno in _NO_SUCH_ADDRESS:
                missing = error
                continue
            for other in listening:
                other.close()
            raise
        listening.append(opened)
        port = opened.getsockname()[1]
    if missing is not None and not listening:
        raise missing
    return listening


def _bind(family: int, where: tuple[Any, ...], *, shared: bool, v6_only: bool) -> socket.socket:
    # asyncio sets TCP_NODELAY only on sockets whose protocol is given.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and v6_only:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(where)
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened
