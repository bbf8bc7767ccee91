"""What requests hold in memory: a ceiling for all of them, and half of it for those of one API key."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.transport.gateway import failures

FREE_BYTES = 64 * 1024
"""What each request may hold without being counted. The number of connections bounds the sum of these."""


class _Held:
    """What the requests of one key hold."""

    __slots__ = ("requests", "size")

    def __init__(self) -> None:
        self.requests = 0
        self.size = 0


class Shares:
    """Counts what requests hold.

    Args:
        requests: how many requests of one key may be in progress.
        size: how many bytes of bodies and answers all requests may hold together.
        largest: the largest body, which one key must be able to send.
    """

    def __init__(self, requests: int, size: int, largest: int) -> None:
        self._requests = requests
        self._size = max(size, largest)
        self._size_of_one = max(self._size // 2, largest)
        self._all = 0
        self._held: dict[bytes, _Held] = {}

    @contextmanager
    def request(self, key: bytes) -> Iterator["Holding"]:
        """Counts a request of a key while it is in progress. Raises `Refused` if the key has too many."""
        held = self._held.setdefault(key, _Held())
        if held.requests >= self._requests:
            raise failures.too_many_requests()
        held.requests += 1
        holding = Holding(self, held)
        try:
            yield holding
        finally:
            holding.hold(0)
            held.requests -= 1
            if not held.requests:
                self._held.pop(key, None)

    def move(self, held: _Held, more: int) -> bool:
        """Counts more bytes, or fewer, for a key. Returns whether there was room for them."""
        if more > 0 and (held.size + more > self._size_of_one or self._all + more > self._size):
            return False
        held.size += more
        self._all += more
        return True


class Holding:
    """What one request holds."""

    def __init__(self, shares: Shares, held: _Held) -> None:
        self._shares = shares
        self._held = held
        self._size = 0

    def hold_at_least(self, size: int) -> None:
        """Counts more bytes if the request holds fewer than so many. Raises `Refused` if there is no room for them."""
        if size - FREE_BYTES > self._size:
            self.hold(size)

    def hold(self, size: int) -> None:
        """Counts that the request holds so many bytes from now on. Raises `Refused` if there is no room for them."""
        counted = max(0, size - FREE_BYTES)
        if not self._shares.move(self._held, counted - self._size):
            raise failures.no_room()
        self._size = counted
