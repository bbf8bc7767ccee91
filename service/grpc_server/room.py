"""The room that calls take up until their answers are sent: a place, and the bytes of messages and answers."""

import threading
import time
from typing import NamedTuple

from service.grpc_server.arrival import SMALL_BYTES, Arrival
from service.grpc_server.receiving import Job
from service.grpc_server.shares import Shares
from service.method_table import MAX_REQUEST_BYTES


class Idle(NamedTuple):
    """A call that waits for its caller: for the message, or, if `answered`, until the answer is taken."""

    job: Job
    since: float
    answered: bool


class Room:
    """Divides places and bytes among organisations, and knows the calls that wait for their callers.

    An organisation that has used up its places loses its oldest such call before a new one is refused.

    Args:
        places: how many calls there may be.
        max_bytes: the sum of the lengths of all these calls' messages and answers, but for those of up to
            `SMALL_BYTES`.
        patience_seconds: for how long a call may wait for its caller before it can be the one that is lost.
    """

    def __init__(self, places: int, max_bytes: int, patience_seconds: float) -> None:
        self._places = Shares(places)
        self._bytes = Shares(max_bytes)
        self._patience_seconds = patience_seconds
        self._idle: dict[str, dict[Arrival, Idle]] = {}
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """How many calls have a place."""
        return self._places.used

    def enter(self, arrival: Arrival) -> tuple[bool, tuple[Arrival, Idle] | None]:
        """Gives a place to a call.

        Returns:
            Whether there is one, and the call that has lost its own for it.
        """
        with self._lock:
            lost = None
            if not self._places.fits(arrival.owner):
                lost = self._lose_oldest(arrival.owner)
                if lost is None:
                    return False, None
            self._places.take(arrival.owner)
            arrival.has_place = True
        return True, lost

    def wait(self, arrival: Arrival, job: Job) -> None:
        """Notes that a call waits for its message from now on."""
        with self._lock:
            self._note(arrival, Idle(job, time.monotonic(), answered=False))

    def receive(self, arrival: Arrival, length: int) -> bool | None:
        """Notes that a call's message has come, and how long it is.

        Returns:
            Whether there is room for it; None if the call was lost before.
        """
        with self._lock:
            if self._forget(arrival) is None:
                return None
            self._hold(arrival, 0)
            if length > SMALL_BYTES:
                if not self._bytes.fits(arrival.owner, length):
                    return False
                self._hold(arrival, length)
        return True

    def set_aside(self, arrival: Arrival) -> bool:
        """Sets bytes aside for the longest message, as one is slow to come. Returns whether there are enough."""
        with self._lock:
            idle = self._idle.get(arrival.owner, {}).get(arrival)
            if idle is None or idle.answered or arrival.held_bytes:
                return True
            if not self._bytes.fits(arrival.owner, MAX_REQUEST_BYTES):
                return False
            self._hold(arrival, MAX_REQUEST_BYTES)
        return True

    def answer(self, arrival: Arrival, length: int) -> tuple[Arrival, Idle] | None:
        """Notes how long a call's answer is, which replaces its message.

        Returns:
            The call that has lost its answer for this one, if there was no room for both.
        """
        lost = None
        with self._lock:
            if arrival.has_place:
                self._hold(arrival, 0)
                if length > SMALL_BYTES:
                    if not self._bytes.fits(arrival.owner, length):
                        lost = self._lose_oldest(arrival.owner)
                    self._hold(arrival, length)  # what is done is answered, whether there is room or not
        return lost

    def end(self, arrival: Arrival, job: Job) -> None:
        """Notes that a call's thread is done with it: its room is freed, or its answer is on its way."""
        with self._lock:
            arrival.served = True
            if arrival.gone or not arrival.has_end:
                self._leave(arrival)
            elif arrival.has_place:
                self._note(arrival, Idle(job, time.monotonic(), answered=True))

    def over(self, arrival: Arrival) -> None:
        """Notes that a call's answer has been sent, or its caller has gone. Its thread may still be at work."""
        with self._lock:
            arrival.gone = True
            if arrival.served:
                self._leave(arrival)

    def lose(self, arrival: Arrival) -> Idle | None:
        """Takes the room away from a call that waits for its caller. Returns None if it does not wait any more."""
        with self._lock:
            return self._lose(arrival)

    def leave(self, arrival: Arrival) -> None:
        """Frees the room of a call that is not served."""
        with self._lock:
            self._leave(arrival)

    def idle(self, seconds: float, *, answered: bool | None = None) -> list[Arrival]:
        """Lists the calls that have waited for their callers longer than this: all, or either kind."""
        before = time.monotonic() - seconds
        with self._lock:
            return [
                arrival
                for calls in self._idle.values()
                for arrival, idle in calls.items()
                if idle.since < before and answered in {None, idle.answered}
            ]

    def _lose_oldest(self, owner: str) -> tuple[Arrival, Idle] | None:
        oldest, idle = next(iter(self._idle.get(owner, {}).items()), (None, None))
        if oldest is None or idle is None or time.monotonic() - idle.since < self._patience_seconds:
            return None
        self._lose(oldest)
        return oldest, idle

    def _lose(self, arrival: Arrival) -> Idle | None:
        idle = self._idle.get(arrival.owner, {}).get(arrival)
        if idle is not None:
            self._leave(arrival)
        return idle

    def _leave(self, arrival: Arrival) -> None:
        self._forget(arrival)
        if arrival.has_place:
            arrival.has_place = False
            self._places.release(arrival.owner)
            self._hold(arrival, 0)

    def _note(self, arrival: Arrival, idle: Idle) -> None:
        self._idle.setdefault(arrival.owner, {})[arrival] = idle

    def _forget(self, arrival: Arrival) -> Idle | None:
        calls = self._idle.get(arrival.owner, {})
        idle = calls.pop(arrival, None)
        if idle is not None and not calls:
            del self._idle[arrival.owner]
        return idle

    def _hold(self, arrival: Arrival, length: int) -> None:
        self._bytes.release(arrival.owner, arrival.held_bytes)
        self._bytes.take(arrival.owner, length)
        arrival.held_bytes = length
