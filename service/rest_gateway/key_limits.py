"""Limits the requests in progress of each API key, and the memory of bodies and answers, of all keys and of each."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.rest_gateway import errors

FREE_BYTES = 64 * 1024
"""What each request may use without being counted. The limit of connections bounds the sum of these."""


class _Usage:
    """What the requests of one key use."""

    __slots__ = ("requests", "size")

    def __init__(self) -> None:
        self.requests = 0
        self.size = 0


class KeyLimits:
    """Counts what requests use.

    Args:
        requests: how many requests of one key may be in progress.
        size: how many bytes of bodies and answers all requests may have in memory.
        largest: the size of the largest body, which one key must be able to send.
    """

    def __init__(self, requests: int, size: int, largest: int) -> None:
        self._requests = requests
        self._size = max(size, largest)
        self._size_per_key = max(self._size // 2, largest)
        self._used = 0
        self._usage: dict[bytes, _Usage] = {}

    @contextmanager
    def request(self, key: bytes) -> Iterator["MemoryReservation"]:
        """Counts a request of a key while the block lasts. Raises `HTTPError` if the key has too many."""
        usage = self._usage.setdefault(key, _Usage())
        if usage.requests >= self._requests:
            raise errors.too_many_requests()
        usage.requests += 1
        memory = MemoryReservation(self, usage)
        try:
            yield memory
        finally:
            memory.set(0)
            usage.requests -= 1
            if not usage.requests:
                self._usage.pop(key, None)

    def change(self, usage: _Usage, difference: int) -> bool:
        """Adds bytes to a key's usage, or takes them off. Returns whether the limits allow that."""
        if difference > 0 and (usage.size + difference > self._size_per_key or self._used + difference > self._size):
            return False
        usage.size += difference
        self._used += difference
        return True


class MemoryReservation:
    """The memory of one request."""

    def __init__(self, limits: KeyLimits, usage: _Usage) -> None:
        self._limits = limits
        self._usage = usage
        self._size = 0

    def raise_to(self, size: int) -> None:
        """Reserves bytes if fewer are reserved. Raises `HTTPError` if a limit is reached."""
        if size - FREE_BYTES > self._size:
            self.set(size)

    def set(self, size: int) -> None:
        """Changes the number of reserved bytes. Raises `HTTPError` if a limit is reached."""
        counted = max(0, size - FREE_BYTES)
        if not self._limits.change(self._usage, counted - self._size):
            raise errors.out_of_memory()
        self._size = counted
