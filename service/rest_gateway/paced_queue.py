"""The queue of paced events: the socket that was served longest ago is first."""

import heapq
from itertools import count

from service.rest_gateway.paced_socket import PacedSocket

# Of this many paced events at most one accepts a connection, so that open connections make progress.
_EVENTS_PER_ACCEPT = 3

# When the socket was last served, a serial number, the socket, and what is queued.
_Heap = list[tuple[float, int, PacedSocket, object]]


class PacedQueue:
    """A priority queue with a fixed share for the listening sockets."""

    def __init__(self) -> None:
        self._connections: _Heap = []
        self._listeners: _Heap = []
        self._serial = count()
        self._popped = 0

    def __bool__(self) -> bool:
        return bool(self._connections or self._listeners)

    def push(self, socket: PacedSocket, queued: object) -> None:
        """Adds what a socket waits with."""
        heap = self._listeners if socket.is_listener else self._connections
        heapq.heappush(heap, (socket.last_served, next(self._serial), socket, queued))

    def pop(self) -> tuple[PacedSocket, object]:
        """Removes the first entry. The queue must not be empty."""
        self._popped += 1
        first, second = self._listeners, self._connections
        if self._popped % _EVENTS_PER_ACCEPT:
            first, second = second, first
        _, _, socket, queued = heapq.heappop(first or second)
        return socket, queued
