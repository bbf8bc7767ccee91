"""Ends refused calls at a bounded rate, so that a caller who repeats them at once does not keep the server busy.

A refused call costs nearly as much as a small lookup, most of it before it can be refused. A connection has a limited
number of streams, and a call that has not been ended still uses one. So ending refused calls slowly slows down the
connections that they come on, and no others. `tests/grpc_server/test_floods.py` counts the calls that come through.
"""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from service.grpc_server.arrival import Arrival
from service.grpc_server.executors import TAKEN, FairExecutor
from service.grpc_server.receiving import Job
from service.grpc_server.shares import Shares
from service.method_table import UNKNOWN

if TYPE_CHECKING:
    from concurrent.futures import Future

_BURST = 200
_PER_SECOND = 200
_MAX_WAITING = 10_000


class Pace:
    """Bounds how often something is done. Thread-safe.

    Args:
        burst: how many times it may be done without waiting, after a pause.
        per_second: how often then.
    """

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._allowed = float(burst)
        self._counted = time.monotonic()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def wait(self) -> None:
        """Waits until it may be done once more."""
        with self._lock:
            now = time.monotonic()
            self._allowed = min(self._burst, self._allowed + (now - self._counted) * self._per_second) - 1
            self._counted = now
            seconds = -self._allowed / self._per_second
        if seconds > 0:
            self._stopping.wait(seconds)

    def stop(self) -> None:
        """Ends all waiting, now and later, because the server stops."""
        self._stopping.set()


class Refusals(FairExecutor):
    """Ends refused calls one after the other, in turn for each organisation, or connection where the key is not good.

    Up to `_BURST` of them are ended at once, then `_PER_SECOND` a second. Of those that wait, one organisation or
    connection has half of `_MAX_WAITING` at most; calls beyond are cancelled.
    """

    def __init__(self) -> None:
        super().__init__("refusal", 1)
        self.pace = Pace(_BURST, _PER_SECOND)
        self._places = Shares(_MAX_WAITING)
        self._places_lock = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> "Future[Any]":
        """Ends a call of an unknown method. Runs on the thread that takes all calls in, so it does not block."""
        job = Job(fn, args)
        self.refuse(Arrival("", UNKNOWN, peer=job.peer), job)
        return TAKEN

    def refuse(self, arrival: Arrival, job: Job) -> None:
        """Has a call ended with the error that is its `Arrival`'s. Does not block."""
        owner = arrival.owner
        with self._places_lock:
            fits = self._places.fits(owner)
            if fits:
                self._places.take(owner)
        if not fits:
            job.cancel()
            return

        def task() -> None:
            try:
                self.pace.wait()
                job()
            finally:
                with self._places_lock:
                    self._places.release(owner)

        self.run(arrival, task)
