"""An executor for streams that take no key: a new one is always served."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from service.grpc_server.receiving import Job
from service.runtime.executors import SUBMITTED, FairExecutor

if TYPE_CHECKING:
    from concurrent.futures import Future


class EvictingExecutor(FairExecutor):
    """Runs streams, each on a thread. A new one is always served: the oldest is cancelled if there are too many.

    Args:
        name: for the threads' names.
        streams: how many may be open at once.
    """

    def __init__(self, name: str, streams: int) -> None:
        super().__init__(name, 2 * streams)  # all are of no organisation, which may have half
        self._most = streams
        self._open: dict[Job, float] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> "Future[Any]":
        """Runs a stream, as soon as the oldest has ended if there are too many."""
        job = Job(fn, args)
        oldest = None
        with self._lock:
            if len(self._open) >= self._most:
                oldest = next(iter(self._open))
                del self._open[oldest]
            self._open[job] = time.monotonic()
        if oldest is not None:
            oldest.cancel()

        def task() -> None:
            try:
                job()
            finally:
                with self._lock:
                    self._open.pop(job, None)

        self.run("", task)
        return SUBMITTED

    def cancel_older_than(self, seconds: float) -> None:
        """Cancels the streams that have been open for longer than this."""
        before = time.monotonic() - seconds
        with self._lock:
            old = [job for job, since in self._open.items() if since < before]
        for job in old:
            job.cancel()
