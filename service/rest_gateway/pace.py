"""Paces what no API key has paid for: the event loop sees one such event a round, and spends half of its time at most.

A flood of cheap requests costs the loop little for each, and thousands of them at once keep everything else waiting.
So the sockets of connections without a good key, and those that listen, are looked at by a selector of their own. Of
its events one at a time is handed to the loop, as the last of a round. All others wait in the kernel, unread.
"""

import heapq
import selectors
import time
from collections import ChainMap
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

# A turn goes on behind its round: what was read is answered in the next, and a new connection takes three.
_ROUNDS = 3
# For each second that turns take, the loop has as long for all else.
_SPENT_PER_SECOND = 2.0
# So long turns may take without a pause. A pause is at least a millisecond, which is the unit of epoll.
_BURST_SECONDS = 0.01
# No turn takes so long: the process did not have the CPU, or something else took it.
_LONGEST_SECONDS = 0.005
# So many events of one organisation's connections a round has, so that others are not behind hundreds of them.
_EVENTS_OF_ONE = 8
# Of so many turns one at most is for connections that come, so that those that are there go on.
_TURNS_PER_ACCEPT = 3

Ready = list[tuple[selectors.SelectorKey, int]]


class Place:
    """One socket's place in the pace.

    Attributes:
        paid: whether the socket's events go to the loop without turns, because of a good key.
        owner: the organisation that the key belongs to.
    """

    __slots__ = ("_fd", "_pace", "called", "key", "last", "listens", "mask", "owner", "paid", "spent")

    def __init__(self, pace: "Pace", fd: int, *, listens: bool = False) -> None:
        self._pace = pace
        self._fd = fd
        self.listens = listens
        self.paid = False
        self.owner = b""
        self.last = 0.0
        self.spent = 0.0
        self.key: selectors.SelectorKey | None = None
        self.mask = 0
        self.called = False

    @property
    def waits(self) -> bool:
        """Whether the socket waits for a turn."""
        return self.called or self.mask != 0

    def set_paid(self, *, paid: bool, owner: bytes = b"") -> None:
        """Has the socket's events go to the loop without turns from now on, or in turns.

        A good key pays for the turns before it, so those who connect for each request are not held to the pace.
        """
        self.owner = owner
        if paid != self.paid:
            self._pace.move(self._fd, self, paid=paid)
        self.spent = 0.0

    def call_in_turn(self, callback: Callable[[], object]) -> None:
        """Calls back in a turn of this socket's. The callback has the loop do what there is to do, and returns."""
        self._pace.call_in_turn(self, callback)

    def leave(self) -> None:
        """Forgets the socket, unless its number is another's by now."""
        self._pace.leave(self._fd, self)


class Pace(selectors.DefaultSelector):
    """The event loop's selector.

    Args:
        clock: what turns are measured by, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._places: dict[int, Place] = {}
        self._keys: dict[Any, selectors.SelectorKey] = {}
        self._waiting: list[tuple[float, int, Place, object]] = []
        self._listening: list[tuple[float, int, Place, object]] = []
        self._number = count()
        self._turns = 0
        self._charged: Place | None = None
        self._charged_rounds = 0
        self._round_began = 0.0
        self._free_at = 0.0
        self._over = False
        self._paced = selectors.DefaultSelector()
        super().register(self._paced.fileno(), selectors.EVENT_READ)
        self._map: Mapping[Any, selectors.SelectorKey] = ChainMap(self._keys, super().get_map())  # type: ignore[arg-type]  # it is not written to

    def take(self, fd: int, *, listens: bool = False) -> Place:
        """Has a socket's events, all of them, go to the loop in turns."""
        place = self._places[fd] = Place(self, fd, listens=listens)
        place.paid = self._over
        if self._charged_rounds and self._charged is not None and self._charged.listens:
            self._charged = place  # it has just been accepted
        return place

    def leave(self, fd: int, place: Place) -> None:
        """Forgets a socket."""
        if self._places.get(fd) is place:
            if place.key is not None:
                self.unregister(fd)
            del self._places[fd]

    def move(self, fd: int, place: Place, *, paid: bool) -> None:
        """Has a socket's events go to the loop in another way, without losing what is asked for."""
        if self._places.get(fd) is not place or (self._over and not paid):
            return
        key = self._map.get(fd)
        if key is not None:
            self.unregister(fd)
        place.paid, place.last = paid, self._clock()
        if paid:
            self._free_at -= _SPENT_PER_SECOND * place.spent
            if self._charged is place:
                self._charged_rounds = 0
        if key is not None:
            self.register(fd, key.events, key.data)

    def end(self) -> None:
        """Has all events go to the loop at once from now on, those of new sockets too."""
        self._over = True
        for fd, place in list(self._places.items()):
            if not place.paid:
                self.move(fd, place, paid=True)

    def call_in_turn(self, place: Place, callback: Callable[[], object]) -> None:
        """Calls back in a turn of a socket's."""
        place.called = True
        heapq.heappush(self._waiting, (place.last, next(self._number), place, callback))

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Asks for a socket's events."""
        place = self._places.get(fileobj)
        if place is None or place.paid:
            return super().register(fileobj, events, data)
        key = self._keys[fileobj] = place.key = selectors.SelectorKey(fileobj, fileobj, events, data)
        self._paced.register(fileobj, events, place)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Asks for no more events of a socket."""
        place = self._places.get(fileobj)
        if place is None or place.key is None:
            return super().unregister(fileobj)
        if not place.mask:
            self._paced.unregister(fileobj)
        place.key, place.mask = None, 0
        return self._keys.pop(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Asks for other events of a socket."""
        if fileobj not in self._keys:
            return super().modify(fileobj, events, data)
        self.unregister(fileobj)
        return self.register(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Returns what is asked for of each socket."""
        return self._map

    def select(self, timeout: float | None = None) -> Ready:
        """Waits for events. Those in turns come when a turn does."""
        now = self._clock()
        if self._charged_rounds and self._charged is not None:
            self._charged_rounds -= 1
            spent = min(now - self._round_began, _LONGEST_SECONDS)
            self._charged.spent += spent
            self._free_at = max(self._free_at, now - spent - _BURST_SECONDS) + _SPENT_PER_SECOND * spent
        if self._waiting or self._listening:
            pause = max(0.0, self._free_at - now)
            timeout = pause if timeout is None else min(timeout, pause)
        ready = super().select(timeout)
        for index, (key, _) in enumerate(ready):
            if key.fd == self._paced.fileno():
                del ready[index]
                self._collect()
                break
        self._round_began = self._clock()
        if len(ready) > _EVENTS_OF_ONE and not self._over:
            ready = self._divided(ready)
        if (self._waiting or self._listening) and self._round_began >= self._free_at:
            self._take_turn(ready)
        return ready

    def close(self) -> None:
        """Ends."""
        self._paced.close()
        super().close()

    def _divided(self, ready: Ready) -> Ready:
        """Leaves out all but some events of each organisation, those that waited longest, until a later round."""
        paid: dict[bytes, Ready] = {}
        divided: Ready = []
        for event in ready:
            place = self._places.get(event[0].fd)
            (divided if place is None or not place.paid else paid.setdefault(place.owner, [])).append(event)
        for events in paid.values():
            events.sort(key=lambda event: self._places[event[0].fd].last)
            for event in events[:_EVENTS_OF_ONE]:
                self._places[event[0].fd].last = self._round_began
                divided.append(event)
        return divided

    def _collect(self) -> None:
        """Notes which sockets have events, and looks at these no more until their turn."""
        for key, mask in self._paced.select(0):
            place: Place = key.data
            self._paced.unregister(key.fd)
            place.mask = mask
            queue = self._listening if place.listens else self._waiting
            heapq.heappush(queue, (place.last, next(self._number), place, place.key))

    def _take_turn(self, ready: Ready) -> None:
        """Adds an event: of the socket whose last turn is longest ago."""
        while self._waiting or self._listening:
            self._turns += 1
            first, second = self._listening, self._waiting
            if self._turns % _TURNS_PER_ACCEPT:
                first, second = second, first
            _, _, place, what = heapq.heappop(first or second)
            if callable(what):
                place.called = False
                what()
            elif what is not place.key or not place.mask or place.key is None:
                continue  # it is closed, or something else is asked for
            else:
                ready.append((place.key, place.mask))
                place.mask = 0
                self._paced.register(place.key.fd, place.key.events, place)
            place.last = self._round_began
            self._charged, self._charged_rounds = place, _ROUNDS
            return
