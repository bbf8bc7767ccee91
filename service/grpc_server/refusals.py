"""Ends refused calls at a bounded rate, so that a caller that repeats them at once does not keep the server busy.

A refused call costs nearly as much as a small lookup, most of it before it can be refused. A connection has a limited
number of streams, and a call that has not ended still uses one. So a bounded rate of refusals slows down the
connections of refused calls, and no others. `tests/grpc_server/test_floods.py` counts the calls that are served.
"""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from service.grpc_server.incoming_call import IncomingCall, serve
from service.grpc_server.receiving import Job
from service.method_table import UNKNOWN
from service.metrics import numbers
from service.runtime.executors import SUBMITTED, FairExecutor
from service.runtime.fair_shares import FairShares

if TYPE_CHECKING:
    from concurrent.futures import Future

_BURST = 200
_PER_SECOND = 200
_MAX_WAITING = 10_000

_DROPPED = numbers.counter("calls_dropped", "Refused calls that were cancelled, because too many waited to be refused.")


class Pace:
    """A rate limit that waits. Thread-safe.

    Args:
        burst: how many may begin without waiting, after a pause.
        per_second: how many may begin a second after that.
    """

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._allowed = float(burst)
        self._counted = time.monotonic()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def wait(self) -> None:
        """Waits until one more may begin."""
        with self._lock:
            now = time.monotonic()
            self._allowed = min(self._burst, self._allowed + (now - self._counted) * self._per_second) - 1
            self._counted = now
            seconds = -self._allowed / self._per_second
        if seconds > 0:
            self._stopping.wait(seconds)

    def stop(self) -> None:
        """Ends all waiting, now and later: the server stops."""
        self._stopping.set()


class Refusals(FairExecutor):
    """Ends refused calls one after the other. Organisations take turns, and so do connections without a valid key.

    Up to `_BURST` of them are ended at once, then `_PER_SECOND` a second. One organisation or connection has at most
    half of the `_MAX_WAITING` places of those that wait; further calls are cancelled.
    """

    def __init__(self) -> None:
        super().__init__("refusal", 1)
        self.pace = Pace(_BURST, _PER_SECOND)
        self._places = FairShares(_MAX_WAITING)
        self._places_lock = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> "Future[Any]":
        """Ends a call of an unknown method. Runs on the thread that accepts all calls, so it does not block."""
        job = Job(fn, args)
        self.refuse(IncomingCall("", UNKNOWN, peer=job.peer), job)
        return SUBMITTED

    def refuse(self, incoming: IncomingCall, job: Job) -> None:
        """Ends a call with the error of its `IncomingCall`, later. Does not block."""
        owner = incoming.owner
        with self._places_lock:
            fits = self._places.fits(owner)
            if fits:
                self._places.take(owner)
        if not fits:
            _DROPPED.add()
            job.cancel()
            return

        def task() -> None:
            try:
                self.pace.wait()
                serve(incoming)
                job()
            finally:
                serve(None)
                with self._places_lock:
                    self._places.release(owner)

        self.run(owner, task)
