"""Executors whose threads are divided fairly among organisations. Each kind of call has an executor of its own."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from service.grpc_server.fair_shares import FairShares
from service.grpc_server.incoming_call import IncomingCall, serve
from service.runtime import log
from service.runtime.log_limits import LogLimits

# gRPC asks a call's future when it is done, to count calls, which matters only with a limit of gRPC's own. To make a
# future for each call would take longer than everything else that an executor does with it.
SUBMITTED: "Future[Any]" = Future()
SUBMITTED.set_result(None)

Task = Callable[[], object]
Kind = tuple[str, bool]
"""An organisation, and whether its call is a large one."""


class FairExecutor(ThreadPoolExecutor):
    """Runs tasks on a bounded number of threads, which organisations share by `FairShares`. Those that wait take turns.

    gRPC accepts no other type than `ThreadPoolExecutor`; that type's own threads and queue are not used. Threads are
    started when there is a task for them.

    Args:
        name: for the threads' names.
        threads: how many tasks run at once. A quarter of these may serve large calls; see `IncomingCall.is_large`.
    """

    def __init__(self, name: str, threads: int) -> None:
        super().__init__(threads)
        self._name = name
        self._permits = FairShares(threads)
        self._large_permits = FairShares(max(1, threads // 4))
        self._waiting: dict[Kind, deque[tuple[IncomingCall | None, Task]]] = {}
        self._running = 0
        self._pending = 0
        self._started = 0
        self._closed = False
        self._lock = threading.Lock()
        self._limits = LogLimits()
        self._jobs: SimpleQueue[tuple[Kind, IncomingCall | None, Task] | None] = SimpleQueue()

    @property
    def pending(self) -> int:
        """How many tasks run or wait."""
        return self._pending

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Runs a call of no organisation. The future is done at once."""
        self.run(None, lambda: fn(*args, **kwargs))
        return SUBMITTED

    def run(self, incoming: IncomingCall | None, task: Task) -> None:
        """Runs a task when a thread is free for its organisation, unless the executor is closed."""
        kind = ("", False) if incoming is None else (incoming.owner, incoming.is_large)
        with self._lock:
            if self._closed:
                return
            self._pending += 1
            if kind not in self._waiting:
                if self._fits(kind):
                    self._start((kind, incoming, task))
                    return
                self._waiting[kind] = deque()
            self._waiting[kind].append((incoming, task))

    def close(self) -> None:
        """Ends the threads, each when it is free."""
        with self._lock:
            self._closed = True
            for _ in range(self._started):
                self._jobs.put(None)

    def _start(self, job: tuple[Kind, IncomingCall | None, Task]) -> None:
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
            following: tuple[Kind, IncomingCall | None, Task] | None = job
            del job
            while following is not None:
                kind, incoming, task = following
                serve(incoming)
                try:
                    task()
                except BaseException:  # noqa: BLE001  # after any defect the thread serves the next call
                    log.exception("defect")
                serve(None)
                del incoming, task, following  # and with them the call, before the next one comes
                following = self._end(kind)

    def _end(self, done: Kind) -> tuple[Kind, IncomingCall | None, Task] | None:
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
                job = (kind, *tasks.popleft())
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


def on_executor(executor: ThreadPoolExecutor, behavior: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a behaviour that gRPC runs on an executor. gRPC looks for the executor in an attribute."""

    def run(*args: Any) -> Any:
        return behavior(*args)

    run.experimental_thread_pool = executor  # type: ignore[attr-defined]  # gRPC looks for it by this name
    return run
