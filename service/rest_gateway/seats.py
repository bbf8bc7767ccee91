"""The connections that are open at once: how many there may be, and which of them are closed to make room."""

import time
from collections.abc import Callable

# A connection that has just come may have sent a request that has not been read yet.
_GRACE_SECONDS = 1.0


class Seat:
    """One connection's place among the open connections.

    Attributes:
        close: closes the connection at once.
        asks: returns whether the caller has sent something that has not been looked at.
    """

    __slots__ = ("_seats", "asks", "close")

    def __init__(self, seats: "Seats", close: Callable[[], object]) -> None:
        self._seats = seats
        self.close = close
        self.asks: Callable[[], bool] = _no

    def wait(self, *, spare: bool = False) -> None:
        """Marks the connection as one without a request that is worked on: it may be closed to make room.

        Args:
            spare: whether it is closed before others, because its last request had no good key.
        """
        if self not in self._seats.open:
            return  # it has been closed already
        if spare:
            self._seats.waiting.pop(self, None)
            self._seats.spare[self] = None
        else:
            self._seats.spare.pop(self, None)
            self._seats.waiting[self] = time.monotonic()

    def work(self) -> None:
        """Marks the connection as one with a request."""
        self._seats.waiting.pop(self, None)
        self._seats.spare.pop(self, None)

    def leave(self) -> None:
        """Gives the place back. Does nothing the second time."""
        self.work()
        self._seats.open.pop(self, None)


class Seats:
    """The places of all connections.

    Args:
        limit: how many connections may be open at once.

    Attributes:
        limit: how many connections may be open at once.
        open: every connection.
        waiting: those without a request, and since when; the one that has waited longest is first.
        spare: those without one that have had an answer without a good key, in the same order.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open: dict[Seat, None] = {}
        self.waiting: dict[Seat, float] = {}
        self.spare: dict[Seat, None] = {}

    def take(self, close: Callable[[], object] = lambda: None) -> Seat | None:
        """Takes a place for a new connection, which has no request yet.

        If there is none left, the connection that has waited longest for a request is closed: one of the spare ones
        if there are any, and of these one that asks already, so that a flood without keys closes its own.

        Returns:
            The place; None if every open connection has a request, or has only just begun to wait for one.
        """
        if len(self.open) >= self.limit:
            asking = next((seat for seat in self.spare if seat.asks()), None)
            oldest = asking or next(iter(self.spare), None) or next(iter(self.waiting), None)
            if oldest is None or self.waiting.get(oldest, 0.0) > time.monotonic() - _GRACE_SECONDS:
                return None
            oldest.leave()
            oldest.close()
        seat = Seat(self, close)
        self.open[seat] = None
        seat.wait()
        return seat


def _no() -> bool:
    return False
