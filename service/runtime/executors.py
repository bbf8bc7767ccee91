"""An executor whose threads are divided fairly among owners, such as the organisations that call a server.

The standard library's makes a future with locks for each task, which took 15 µs of a lookup, and has one queue for all.
The figures are in docs/decisions/threads.md. To measure it again, run `make bench` and `python -m benchmarks.fairness`.
To do without it, give gRPC a `ThreadPoolExecutor` for each kind of call, which then are not divided fairly.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from service.runtime import log
from service.runtime.fair_shares import FairShares
from service.runtime.log_limits import LogLimits

# gRPC's only use for the future is to count calls, where it has a limit of its own. To make one for each call takes
# longer than all else that an executor does with it.
SUBMITTED: "Future[Any]" = Future()
SUBMITTED.set_result(None)

Task = Callable[[], object]
Kind = tuple[str, bool]
"""An owner, and whether the task is a large one."""


class FairExecutor(ThreadPoolExecutor):
    """Runs tasks on a bounded number of threads, which owners share by `FairShares`, and in turns.

    gRPC accepts no other type than `ThreadPoolExecutor`; that type's own threads and queue are not used. Threads are
    started when there is a task for them.

    Args:
        name: for the threads' names.
        threads: how many tasks run at once. A quarter of these may run large ones.
    """

    def __init__(self, name: str, threads: int) -> None:
        super().__init__(threads)
        self._name = name
        self._permits = FairShares(threads)
        self._large_permits = FairShares(max(1, threads // 4))
        self._waiting: dict[Kind, deque[Task]] = {}
        self._running = 0
        self._pending = 0
        self._started = 0
        self._closed = False
        self._lock = threading.Lock()
        self._limits = LogLimits()
        self._jobs: SimpleQueue[tuple[Kind, Task] | None] = SimpleQueue()

    @property
    def pending(self) -> int:
        """How many tasks run or wait."""
        return self._pending

    @property
    def running(self) -> int:
        """How many tasks run."""
        return self._running

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Runs a task without an owner. The future is done at once."""
        self.run("", lambda: fn(*args, **kwargs))
        return SUBMITTED

    def run(self, owner: str, task: Task, *, large: bool = False) -> None:
        """Runs a task when a thread is free for its owner, unless the executor is closed."""
        kind = (owner, large)
        with self._lock:
            if self._closed:
                return
            self._pending += 1
            if kind not in self._waiting:
                if self._fits(kind):
                    self._start((kind, task))
                    return
                self._waiting[kind] = deque()
            self._waiting[kind].append(task)

    def close(self) -> None:
        """Ends the threads, each when it is free."""
        with self._lock:
            self._closed = True
            for _ in range(self._started):
                self._jobs.put(None)

    def _start(self, job: tuple[Kind, Task]) -> None:
        self._take(job[0])
        if self._running > self._started:
            thread = threading.Thread(target=self._work, name=f"{self._name}_{self._started + 1}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The system has no more threads. One that exists runs the job, or the next one that starts.
                if (left_out := self._limits.admit("")) is not None:
                    fields = {"executor": self._name, "threads": self._started, "left_out": left_out}
                    log.warning("no thread to serve with", **fields)
            else:
                self._started += 1
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            following: tuple[Kind, Task] | None = job
            del job
            while following is not None:
                kind, task = following
                try:
                    task()
                except BaseException:  # noqa: BLE001  # after any defect the thread runs the next task
                    log.exception("defect")
                del task, following  # and with them what the task holds, before the next one comes
                following = self._end(kind)

    def _end(self, done: Kind) -> tuple[Kind, Task] | None:
        """Ends a task and starts those that fit now. The first one is returned, to run on the same thread."""
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
                job = (kind, tasks.popleft())
                if tasks:
                    self._waiting[kind] = tasks  # after the other kinds, which now come first
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
