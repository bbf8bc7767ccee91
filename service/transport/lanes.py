"""Threads for calls, each kind with a capacity of its own, so that none can use up another's."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Lane(ThreadPoolExecutor):
    """A thread pool that knows when it has enough.

    Args:
        name: for the threads' names.
        threads: how many calls it serves at once.
        waiting: how many more may wait for a thread.
    """

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        super().__init__(threads, thread_name_prefix=name)
        self._capacity = threads + waiting
        self._pending = 0
        self._count = threading.Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs a call when a thread is free."""
        with self._count:
            self._pending += 1
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(self._done)
        return future

    def _done(self, _future: Future[Any]) -> None:
        with self._count:
            self._pending -= 1

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
