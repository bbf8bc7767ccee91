"""Limits the calls in flight to the server, of all owners and of each."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.rest_gateway import errors


class CallLimit:
    """Counts calls in flight.

    An owner may have a fixed share of the calls, and never more than are free, so that another owner's call is always
    possible.

    Args:
        total: how many calls may be in flight.
        share: how many of them one owner may have.
    """

    def __init__(self, total: int, share: int) -> None:
        self._free = total
        self._share = share
        self._in_flight: dict[bytes, int] = {}

    @contextmanager
    def acquire(self, owner: bytes) -> Iterator[None]:
        """Counts a call while the block lasts. Raises `HTTPError` if a limit is reached."""
        in_flight = self._in_flight.get(owner, 0)
        if in_flight >= self._share:
            raise errors.too_many_calls()
        if self._free <= 0 or in_flight > self._free:
            raise errors.no_capacity()
        self._in_flight[owner] = in_flight + 1
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
            self._in_flight[owner] -= 1
            if not self._in_flight[owner]:
                del self._in_flight[owner]
