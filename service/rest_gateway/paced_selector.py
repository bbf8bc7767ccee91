"""The event loop's selector, which returns one event of unauthenticated connections per iteration of the loop.

A flood of cheap requests costs the loop little for each, but thousands of them at once delay all other events. So the
sockets of connections without a valid key, and the listening sockets, are watched by a second selector. Of its events
`select` returns one at a time, as the last one of an iteration, for at most half of the loop's time. The data of all
other sockets stays in the kernel, unread.
"""

import selectors
import time
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Any

from service.rest_gateway.paced_queue import PacedQueue
from service.rest_gateway.paced_socket import PacedSocket
from service.rest_gateway.time_budget import TimeBudget

# An event causes work in later iterations too: the next one answers what was read, and accepting takes three.
_CHARGED_ITERATIONS = 3
# An iteration that took longer was waiting for the CPU, or did other work.
_MAX_CHARGED_SECONDS = 0.005
# How many events of one organisation's connections an iteration has, so that others do not wait for hundreds of them.
_EVENTS_PER_OWNER = 8

Ready = list[tuple[selectors.SelectorKey, int]]


class PacedSelector(selectors.DefaultSelector):
    """A selector for `asyncio.SelectorEventLoop`.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._sockets: dict[int, PacedSocket] = {}
        self._keys: dict[Any, selectors.SelectorKey] = {}
        self._queue = PacedQueue()
        self._budget = TimeBudget()
        self._charged: PacedSocket | None = None
        self._iterations_to_charge = 0
        self._iteration_began = 0.0
        self._stopped = False
        self._paced = selectors.DefaultSelector()
        super().register(self._paced.fileno(), selectors.EVENT_READ)
        self._map: Mapping[Any, selectors.SelectorKey] = ChainMap(self._keys, super().get_map())  # type: ignore[arg-type]  # it is only read

    def add(self, fd: int, *, is_listener: bool = False) -> PacedSocket:
        """Adds a socket before the loop registers it; its events are paced."""
        added = self._sockets[fd] = PacedSocket(self, fd, is_listener=is_listener)
        added.authenticated = self._stopped
        if self._iterations_to_charge and self._charged is not None and self._charged.is_listener:
            self._charged = added  # the listener's event has accepted this connection
        return added

    def remove(self, socket: PacedSocket) -> None:
        """Removes a socket, unless its file descriptor has been reused."""
        if self._sockets.get(socket.fd) is socket:
            if socket.key is not None:
                self.unregister(socket.fd)
            del self._sockets[socket.fd]

    def set_authenticated(self, socket: PacedSocket, *, authenticated: bool) -> None:
        """Switches a socket between immediate and paced events, and keeps what the loop has registered for it."""
        fd = socket.fd
        if self._sockets.get(fd) is not socket or (self._stopped and not authenticated):
            return
        key = self._map.get(fd)
        if key is not None:
            self.unregister(fd)
        socket.authenticated, socket.last_served = authenticated, self._clock()
        if authenticated:
            self._budget.refund(socket.spent)
            if self._charged is socket:
                self._iterations_to_charge = 0
        if key is not None:
            self.register(fd, key.events, key.data)

    def stop_pacing(self) -> None:
        """Returns all events at once from now on, also those of new sockets."""
        self._stopped = True
        for socket in list(self._sockets.values()):
            if not socket.authenticated:
                self.set_authenticated(socket, authenticated=True)

    def queue_callback(self, socket: PacedSocket, callback: Callable[[], object]) -> None:
        """Queues a callback as an event of a socket."""
        socket.has_callback = True
        self._queue.push(socket, callback)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Registers a file descriptor."""
        socket = self._sockets.get(fileobj)
        if socket is None or socket.authenticated:
            return super().register(fileobj, events, data)
        key = self._keys[fileobj] = socket.key = selectors.SelectorKey(fileobj, fileobj, events, data)
        self._paced.register(fileobj, events, socket)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Unregisters a file descriptor."""
        socket = self._sockets.get(fileobj)
        if socket is None or socket.key is None:
            return super().unregister(fileobj)
        if not socket.ready_mask:
            self._paced.unregister(fileobj)
        socket.key, socket.ready_mask = None, 0
        return self._keys.pop(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Changes what is registered for a file descriptor."""
        if fileobj not in self._keys:
            return super().modify(fileobj, events, data)
        self.unregister(fileobj)
        return self.register(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Returns what is registered."""
        return self._map

    def select(self, timeout: float | None = None) -> Ready:
        """Waits for events. At most one of them is paced, and it is the last."""
        now = self._clock()
        if self._iterations_to_charge and self._charged is not None:
            self._iterations_to_charge -= 1
            spent = min(now - self._iteration_began, _MAX_CHARGED_SECONDS)
            self._charged.spent += spent
            self._budget.charge(now, spent)
        if self._queue:
            pause = self._budget.pause(now)
            timeout = pause if timeout is None else min(timeout, pause)
        ready = super().select(timeout)
        for index, (key, _) in enumerate(ready):
            if key.fd == self._paced.fileno():
                del ready[index]
                self._queue_ready_sockets()
                break
        self._iteration_began = self._clock()
        if len(ready) > _EVENTS_PER_OWNER and not self._stopped:
            ready = self._limited_per_owner(ready)
        if self._queue and not self._budget.pause(self._iteration_began):
            self._append_paced_event(ready)
        return ready

    def close(self) -> None:
        """Closes both selectors."""
        self._paced.close()
        super().close()

    def _limited_per_owner(self, ready: Ready) -> Ready:
        """Keeps a few events of each owner, those that waited longest. The others are found again later."""
        by_owner: dict[bytes, Ready] = {}
        limited: Ready = []
        for event in ready:
            socket = self._sockets.get(event[0].fd)
            if socket is None or not socket.authenticated:
                limited.append(event)
            else:
                by_owner.setdefault(socket.owner, []).append(event)
        for events in by_owner.values():
            events.sort(key=lambda event: self._sockets[event[0].fd].last_served)
            for event in events[:_EVENTS_PER_OWNER]:
                self._sockets[event[0].fd].last_served = self._iteration_began
                limited.append(event)
        return limited

    def _queue_ready_sockets(self) -> None:
        """Moves the paced sockets with events into the queue, and stops watching them until they are served."""
        for key, mask in self._paced.select(0):
            socket: PacedSocket = key.data
            self._paced.unregister(key.fd)
            socket.ready_mask = mask
            self._queue.push(socket, socket.key)

    def _append_paced_event(self, ready: Ready) -> None:
        """Serves the queued socket that was served longest ago: appends its event, or runs its callback."""
        while self._queue:
            socket, queued = self._queue.pop()
            if callable(queued):
                socket.has_callback = False
                queued()
            elif queued is not socket.key or not socket.ready_mask or socket.key is None:
                continue  # the socket was closed, or its registration was changed
            else:
                ready.append((socket.key, socket.ready_mask))
                socket.ready_mask = 0
                self._paced.register(socket.key.fd, socket.key.events, socket)
            socket.last_served = self._iteration_began
            self._charged, self._iterations_to_charge = socket, _CHARGED_ITERATIONS
            return
