"""What requests hold, of memory and of the connections to the service: a ceiling for all, and a share for each."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.rest_gateway import failures

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


class InFlight:
    """Counts the calls that wait for the service.

    An owner may have a share of them, and no more than are left: so there is room for another one at any time.

    Args:
        total: how many calls there may be.
        share: how many of them one owner may have.
    """

    def __init__(self, total: int, share: int) -> None:
        self._free = total
        self._share = share
        self._held: dict[bytes, int] = {}

    @contextmanager
    def call(self, owner: bytes) -> Iterator[None]:
        """Counts a call while the block lasts. Raises `Refused` if there is no room for it."""
        held = self._held.get(owner, 0)
        if held >= self._share:
            raise failures.too_many_calls()
        if self._free <= 0 or held > self._free:
            raise failures.no_capacity()
        self._held[owner] = held + 1
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]
