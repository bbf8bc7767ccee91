"""Threads for calls, each kind of call with a capacity of its own, divided fairly among organisations."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from service.grpc_server.arrival import Arrival, serve
from service.grpc_server.receiving import Job
from service.grpc_server.shares import Shares
from service.runtime import log
from service.runtime.log_limits import LogLimits

# What gRPC asks of a call's future is when it is done, to count calls, and the count is of use only with a limit of
# gRPC's own. A future for each call would take longer to make than all else that an executor does with it.
TAKEN: "Future[Any]" = Future()
TAKEN.set_result(None)

Task = Callable[[], object]
Kind = tuple[str, bool]
"""An organisation, and whether its call is a large one."""


class FairExecutor(ThreadPoolExecutor):
    """Runs tasks of several organisations on a bounded number of threads, in turns and by `Shares`.

    gRPC takes no other type than `ThreadPoolExecutor`; but that one's own threads and queue are not used. Threads are
    started when there is something to do for them.

    Args:
        name: for the threads' names.
        threads: how many tasks run at once. A quarter of these may serve large calls; see `Arrival.is_large`.
    """

    def __init__(self, name: str, threads: int) -> None:
        super().__init__(threads)
        self._name = name
        self._permits = Shares(threads)
        self._large_permits = Shares(max(1, threads // 4))
        self._waiting: dict[Kind, deque[tuple[Arrival | None, Task]]] = {}
        self._running = 0
        self._pending = 0
        self._started = 0
        self._closed = False
        self._lock = threading.Lock()
        self._limits = LogLimits()
        self._jobs: SimpleQueue[tuple[Kind, Arrival | None, Task] | None] = SimpleQueue()

    @property
    def pending(self) -> int:
        """How many tasks run or wait."""
        return self._pending

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Runs a call of no organisation. The future says only that it has been taken."""
        self.run(None, lambda: fn(*args, **kwargs))
        return TAKEN

    def run(self, arrival: Arrival | None, task: Task) -> None:
        """Runs a task as soon as a thread is free for its organisation, unless the executor is closed."""
        kind = ("", False) if arrival is None else (arrival.owner, arrival.is_large)
        with self._lock:
            if self._closed:
                return
            self._pending += 1
            if kind not in self._waiting:
                if self._fits(kind):
                    self._start((kind, arrival, task))
                    return
                self._waiting[kind] = deque()
            self._waiting[kind].append((arrival, task))

    def close(self) -> None:
        """Lets the threads end, each when it is free."""
        with self._lock:
            self._closed = True
            for _ in range(self._started):
                self._jobs.put(None)

    def _start(self, job: tuple[Kind, Arrival | None, Task]) -> None:
        self._take(job[0])
        if self._running > self._started:
            thread = threading.Thread(target=self._work, name=f"{self._name}_{self._started + 1}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The system has no thread to spare: one that there is takes the job, or the next one that starts.
                if (left_out := self._limits.admit("")) is not None:
                    fields = {"executor": self._name, "threads": self._started, "left_out": left_out}
                    log.warning("no thread to serve with", **fields)
            else:
                self._started += 1
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            following: tuple[Kind, Arrival | None, Task] | None = job
            del job
            while following is not None:
                kind, arrival, task = following
                serve(arrival)
                try:
                    task()
                except BaseException:  # noqa: BLE001  # whatever it is, the thread goes on to the next call
                    log.exception("defect")
                serve(None)
                del arrival, task, following  # and with them the call, before the next one comes
                following = self._end(kind)

    def _end(self, done: Kind) -> tuple[Kind, Arrival | None, Task] | None:
        """Ends a task, and starts those that fit now. The first of them runs on the same thread, without a switch."""
        first = None
        with self._lock:
            self._pending -= 1
            self._running -= 1
            self._permits.release(done[0])
            if done[1]:
                self._large_permits.release(done[0])
            for kind in list(self._waiting):
                if not self._permits.free:
                    break
                if not self._fits(kind):
                    continue
                tasks = self._waiting.pop(kind)
                job = (kind, *tasks.popleft())
                if tasks:
                    self._waiting[kind] = tasks  # behind the others: their turn is first
                if first is None and (self._closed or self._jobs.empty()):
                    self._take(kind)
                    first = job
                else:
                    self._start(job)
        return first

    def _fits(self, kind: Kind) -> bool:
        owner, large = kind
        return self._permits.fits(owner) and (not large or self._large_permits.fits(owner))

    def _take(self, kind: Kind) -> None:
        owner, large = kind
        self._running += 1
        self._permits.take(owner)
        if large:
            self._large_permits.take(owner)


class EvictingExecutor(FairExecutor):
    """Runs streams that hold a thread each. A new one is always served: the oldest is cancelled if there are too many.

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

        self.run(None, task)
        return TAKEN

    def cancel_older_than(self, seconds: float) -> None:
        """Cancels the streams that have been open for longer than this."""
        before = time.monotonic() - seconds
        with self._lock:
            old = [job for job, since in self._open.items() if since < before]
        for job in old:
            job.cancel()


def on_executor(executor: ThreadPoolExecutor, behavior: Callable[..., Any]) -> Callable[..., Any]:
    """Has gRPC run a behaviour on an executor. Its name for this is an attribute of the behaviour."""

    def run(*args: Any) -> Any:
        return behavior(*args)

    run.experimental_thread_pool = executor  # type: ignore[attr-defined]  # gRPC looks for it by this name
    return run
