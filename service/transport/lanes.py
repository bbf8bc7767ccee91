"""Threads for calls, each kind with a capacity of its own, so that none can use up another's."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from service import log

# What gRPC asks of a call's future is when it is done, to count calls, and the count is of use only with a limit of
# gRPC's own. A future for each call would take longer to make than all else that a lane does with it.
_TAKEN: "Future[Any]" = Future()
_TAKEN.set_result(None)


class Lane(ThreadPoolExecutor):
    """Threads that know when they have enough to do. gRPC takes no other type; but the executor's own are not used.

    Args:
        name: for the threads' names.
        threads: how many calls it serves at once.
        waiting: how many more may wait for a thread.
    """

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        super().__init__(threads)
        self._name = name
        self._most = threads
        self._capacity = threads + waiting
        self._pending = 0
        self._started = 0
        self._closed = False
        self._count = threading.Lock()
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Runs a call when a thread is free, unless the lane is closed. The future says only that it has been taken."""
        with self._count:
            if self._closed:
                return _TAKEN
            self._pending += 1
            if self._pending > self._started < self._most:
                self._started += 1
                threading.Thread(target=self._work, name=f"{self._name}_{self._started}", daemon=True).start()
            self._jobs.put(lambda: fn(*args, **kwargs))
        return _TAKEN

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException:  # noqa: BLE001  # whatever it is, the thread goes on to the next call
                log.exception("defect")
            del job  # and with it the call, before the next one comes
            with self._count:
                self._pending -= 1

    def close(self) -> None:
        """Lets the threads end, each when it is free."""
        with self._count:
            self._closed = True
            for _ in range(self._started):
                self._jobs.put(None)

    @property
    def full(self) -> bool:
        """Whether the next call had better not come in."""
        return self._pending >= self._capacity

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        return self._pending == 0


def on_lane(lane: Lane, behavior: Callable[..., Any]) -> Callable[..., Any]:
    """Has gRPC run a behaviour on a lane. Its name for this is an attribute of the behaviour."""

    def run(request: Any, context: Any) -> Any:
        return behavior(request, context)

    run.experimental_thread_pool = lane  # type: ignore[attr-defined]  # gRPC looks for it by this name
    return run
