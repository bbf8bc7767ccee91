"""Limits the open connections, and chooses which idle connection is closed for a new one."""

import time
from collections.abc import Callable

# A new connection may already have sent a request that has not been read yet.
_GRACE_SECONDS = 1.0


class ConnectionSlot:
    """The slot of one connection.

    Attributes:
        close: closes the connection at once.
        has_unread_input: returns whether the client has sent something that has not been read.
    """

    __slots__ = ("_limit", "close", "has_unread_input")

    def __init__(self, limit: "ConnectionLimit", close: Callable[[], object]) -> None:
        self._limit = limit
        self.close = close
        self.has_unread_input: Callable[[], bool] = _false

    def set_idle(self, *, unauthenticated: bool = False) -> None:
        """Marks the connection as one without a request in progress: it may be closed for a new one.

        Args:
            unauthenticated: whether its last request had no valid key. Such connections are closed first.
        """
        if self not in self._limit.open:
            return  # it has been closed already
        if unauthenticated:
            self._limit.idle.pop(self, None)
            self._limit.idle_unauthenticated[self] = None
        else:
            self._limit.idle_unauthenticated.pop(self, None)
            self._limit.idle[self] = time.monotonic()

    def set_busy(self) -> None:
        """Marks the connection as one with a request in progress."""
        self._limit.idle.pop(self, None)
        self._limit.idle_unauthenticated.pop(self, None)

    def release(self) -> None:
        """Frees the slot. A second call does nothing."""
        self.set_busy()
        self._limit.open.pop(self, None)


class ConnectionLimit:
    """The slots of all connections.

    Args:
        limit: how many connections may be open at once.

    Attributes:
        limit: how many connections may be open at once.
        open: the slots in use.
        idle: the slots without a request in progress, and since when; the longest idle one is first.
        idle_unauthenticated: likewise, those whose last request had no valid key.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open: dict[ConnectionSlot, None] = {}
        self.idle: dict[ConnectionSlot, float] = {}
        self.idle_unauthenticated: dict[ConnectionSlot, None] = {}

    def acquire(self, close: Callable[[], object] = lambda: None) -> ConnectionSlot | None:
        """Acquires a slot for a new connection, which is idle at first.

        At the limit the longest idle connection is closed. Unauthenticated ones are closed first, and of these the
        ones with unread input, so that a flood without keys closes its own connections.

        Returns:
            The slot; None if every open connection has a request in progress, or has just become idle.
        """
        if len(self.open) >= self.limit:
            flooding = next((slot for slot in self.idle_unauthenticated if slot.has_unread_input()), None)
            oldest = flooding or next(iter(self.idle_unauthenticated), None) or next(iter(self.idle), None)
            if oldest is None or self.idle.get(oldest, 0.0) > time.monotonic() - _GRACE_SECONDS:
                return None
            oldest.release()
            oldest.close()
        slot = ConnectionSlot(self, close)
        self.open[slot] = None
        slot.set_idle()
        return slot


def _false() -> bool:
    return False
