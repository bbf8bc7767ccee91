"""The room that calls take up from their headers on: a place each, and the bytes of their messages."""

import threading
import time

from service.transport.arrival import SMALL_BYTES, Arrival
from service.transport.receiving import Job
from service.transport.rpcs import MAX_REQUEST_BYTES
from service.transport.shares import Shares


class Room:
    """Divides places and bytes among organisations, and knows the calls whose message is under way.

    An organisation that has used up its places loses its oldest such call before a new one is refused.

    Args:
        places: how many calls may be received, wait or run.
        max_bytes: the sum of the lengths of all these calls' messages, but for those of up to `SMALL_BYTES`.
        patience_seconds: for how long a message may be under way before its call can be the one that is lost.
    """

    def __init__(self, places: int, max_bytes: int, patience_seconds: float) -> None:
        self._places = Shares(places)
        self._bytes = Shares(max_bytes)
        self._patience_seconds = patience_seconds
        self._receiving: dict[str, dict[Arrival, Job]] = {}
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """How many calls have a place."""
        return self._places.used

    def enter(self, arrival: Arrival, job: Job) -> tuple[bool, tuple[Arrival, Job] | None]:
        """Gives a place to a call whose message is to come.

        Returns:
            Whether there is one, and the call that has lost its own for it.
        """
        owner = arrival.owner
        lost = None
        with self._lock:
            if not self._places.fits(owner):
                oldest = next(iter(self._receiving.get(owner, ())), None)
                if oldest is None or time.monotonic() - oldest.since < self._patience_seconds:
                    return False, None
                lost = oldest, self._receiving[owner][oldest]
                self._leave(oldest)
            self._places.take(owner)
            arrival.has_place = True
            self._receiving.setdefault(owner, {})[arrival] = job
        return True, lost

    def receive(self, arrival: Arrival, length: int) -> bool | None:
        """Notes that a call's message has come, and how long it is.

        Returns:
            Whether there is room for it; None if the call was lost before.
        """
        with self._lock:
            if not self._forget(arrival):
                return None
            self._bytes.release(arrival.owner, arrival.held_bytes)
            arrival.held_bytes = 0
            if length > SMALL_BYTES:
                if not self._bytes.fits(arrival.owner, length):
                    return False
                arrival.held_bytes = length
                self._bytes.take(arrival.owner, length)
        return True

    def set_aside(self, arrival: Arrival) -> bool:
        """Sets bytes aside for the longest message, as one is slow to come. Returns whether there are enough."""
        with self._lock:
            if arrival.held_bytes or arrival not in self._receiving.get(arrival.owner, ()):
                return True
            if not self._bytes.fits(arrival.owner, MAX_REQUEST_BYTES):
                return False
            arrival.held_bytes = MAX_REQUEST_BYTES
            self._bytes.take(arrival.owner, MAX_REQUEST_BYTES)
        return True

    def lose(self, arrival: Arrival) -> Job | None:
        """Takes the room away from a call whose message has not come. Returns None if it has, or was lost before."""
        with self._lock:
            job = self._receiving.get(arrival.owner, {}).get(arrival)
            if job is not None:
                self._leave(arrival)
        return job

    def leave(self, arrival: Arrival) -> None:
        """Frees the room of a call that has ended."""
        with self._lock:
            self._leave(arrival)

    def receiving(self, seconds: float = 0) -> list[Arrival]:
        """Lists the calls whose message has been under way for longer than this."""
        before = time.monotonic() - seconds
        with self._lock:
            return [arrival for jobs in self._receiving.values() for arrival in jobs if arrival.since < before]

    def _forget(self, arrival: Arrival) -> bool:
        jobs = self._receiving.get(arrival.owner, {})
        known = jobs.pop(arrival, None) is not None
        if known and not jobs:
            del self._receiving[arrival.owner]
        return known

    def _leave(self, arrival: Arrival) -> None:
        self._forget(arrival)
        if arrival.has_place:
            arrival.has_place = False
            self._places.release(arrival.owner)
            self._bytes.release(arrival.owner, arrival.held_bytes)
