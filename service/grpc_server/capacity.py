"""How many calls the server holds until their answers are sent, and how many bytes of messages and answers."""

import threading
import time
from typing import NamedTuple

from service.grpc_server.incoming_call import SMALL_BYTES, IncomingCall
from service.grpc_server.receiving import Job
from service.method_table import MAX_REQUEST_BYTES
from service.runtime.fair_shares import FairShares


class Idle(NamedTuple):
    """A call that waits for its caller: to send the message or, if `answered`, to receive the answer."""

    job: Job
    since: float
    answered: bool


class Capacity:
    """Divides places and bytes among organisations, and records which calls wait for their callers.

    If an organisation has used up its places, its oldest waiting call is dropped for a new one.

    Args:
        places: how many calls there may be.
        max_bytes: how long the messages and answers of all these calls may be together. Those of up to `SMALL_BYTES`
            are not counted.
        patience_seconds: how long a call may wait for its caller before it can be dropped.
    """

    def __init__(self, places: int, max_bytes: int, patience_seconds: float) -> None:
        self._places = FairShares(places)
        self._bytes = FairShares(max_bytes)
        self._patience_seconds = patience_seconds
        self._idle: dict[str, dict[IncomingCall, Idle]] = {}
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """How many calls have a place."""
        return self._places.used

    def enter(self, incoming: IncomingCall) -> tuple[bool, tuple[IncomingCall, Idle] | None]:
        """Takes a place for a call.

        Returns:
            Whether it has got one, and the call that was dropped for it, if any.
        """
        with self._lock:
            dropped = None
            if not self._places.fits(incoming.owner):
                dropped = self._drop_oldest(incoming.owner)
                if dropped is None:
                    return False, None
            self._places.take(incoming.owner)
            incoming.has_place = True
        return True, dropped

    def wait(self, incoming: IncomingCall, job: Job) -> None:
        """Records that a call waits for its message from now on."""
        with self._lock:
            self._add_idle(incoming, Idle(job, time.monotonic(), answered=False))

    def receive(self, incoming: IncomingCall, length: int) -> bool | None:
        """Records that a call's message has come, and its length.

        Returns:
            Whether the message fits; None if the call was dropped before.
        """
        with self._lock:
            if self._remove_idle(incoming) is None:
                return None
            self._hold(incoming, 0)
            if length > SMALL_BYTES:
                if not self._bytes.fits(incoming.owner, length):
                    return False
                self._hold(incoming, length)
        return True

    def set_aside(self, incoming: IncomingCall) -> bool:
        """Reserves bytes for the longest message, because one is slow to come. Returns whether there are enough."""
        with self._lock:
            idle = self._idle.get(incoming.owner, {}).get(incoming)
            if idle is None or idle.answered or incoming.held_bytes:
                return True
            if not self._bytes.fits(incoming.owner, MAX_REQUEST_BYTES):
                return False
            self._hold(incoming, MAX_REQUEST_BYTES)
        return True

    def answer(self, incoming: IncomingCall, length: int) -> tuple[IncomingCall, Idle] | None:
        """Records the length of a call's answer, which replaces its message.

        Returns:
            The call that was dropped for this one, if both did not fit.
        """
        dropped = None
        with self._lock:
            if incoming.has_place:
                self._hold(incoming, 0)
                if length > SMALL_BYTES:
                    if not self._bytes.fits(incoming.owner, length):
                        dropped = self._drop_oldest(incoming.owner)
                    self._hold(incoming, length)  # what is done is answered, even if it does not fit
        return dropped

    def end(self, incoming: IncomingCall, job: Job) -> None:
        """Records that a call's thread is done with it: the call is over, or its answer is being sent."""
        with self._lock:
            incoming.served = True
            if incoming.gone or not incoming.has_end:
                self._leave(incoming)
            elif incoming.has_place:
                self._add_idle(incoming, Idle(job, time.monotonic(), answered=True))

    def over(self, incoming: IncomingCall) -> None:
        """Records that a call's answer has been sent or that its caller has gone. Its thread may still serve it."""
        with self._lock:
            incoming.gone = True
            if incoming.served:
                self._leave(incoming)

    def drop(self, incoming: IncomingCall) -> Idle | None:
        """Drops a call that waits for its caller. Returns None if it does not wait any more."""
        with self._lock:
            return self._drop(incoming)

    def leave(self, incoming: IncomingCall) -> None:
        """Frees what a call holds that will not be served."""
        with self._lock:
            self._leave(incoming)

    def idle(self, seconds: float, *, answered: bool | None = None) -> list[IncomingCall]:
        """Lists the calls that have waited for their callers longer than this: all, or either kind."""
        before = time.monotonic() - seconds
        with self._lock:
            return [
                incoming
                for calls in self._idle.values()
                for incoming, idle in calls.items()
                if idle.since < before and answered in {None, idle.answered}
            ]

    def _drop_oldest(self, owner: str) -> tuple[IncomingCall, Idle] | None:
        oldest, idle = next(iter(self._idle.get(owner, {}).items()), (None, None))
        if oldest is None or idle is None or time.monotonic() - idle.since < self._patience_seconds:
            return None
        self._drop(oldest)
        return oldest, idle

    def _drop(self, incoming: IncomingCall) -> Idle | None:
        idle = self._idle.get(incoming.owner, {}).get(incoming)
        if idle is not None:
            self._leave(incoming)
        return idle

    def _leave(self, incoming: IncomingCall) -> None:
        self._remove_idle(incoming)
        if incoming.has_place:
            incoming.has_place = False
            self._places.release(incoming.owner)
            self._hold(incoming, 0)

    def _add_idle(self, incoming: IncomingCall, idle: Idle) -> None:
        self._idle.setdefault(incoming.owner, {})[incoming] = idle

    def _remove_idle(self, incoming: IncomingCall) -> Idle | None:
        calls = self._idle.get(incoming.owner, {})
        idle = calls.pop(incoming, None)
        if idle is not None and not calls:
            del self._idle[incoming.owner]
        return idle

    def _hold(self, incoming: IncomingCall, length: int) -> None:
        self._bytes.release(incoming.owner, incoming.held_bytes)
        self._bytes.take(incoming.owner, length)
        incoming.held_bytes = length
