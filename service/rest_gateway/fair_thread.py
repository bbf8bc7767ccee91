"""One thread for what takes too long for the event loop, divided fairly among the owners of the requests."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from service.rest_gateway import failures
from service.rest_gateway.exchange import CallerGone, Receive, until_gone

_MAX_WAITING = 100

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Job:
    function: Callable[[], Any]
    future: "Future[Any]" = field(default_factory=Future)


class FairThread:
    """Runs functions on one thread. Each owner has a queue, and one function of each queue runs in turn.

    A function that has not begun is dropped when its caller is gone or has no time left.

    Args:
        name: for the thread's name.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, name)
        self._waiting: dict[bytes, deque[_Job]] = {}
        self._lock = threading.Lock()

    async def read(self, owner: bytes, receive: Receive, seconds: float | None, function: Callable[[], T]) -> T:
        """Runs a function, unless too many of its owner wait already.

        Args:
            owner: whose queue it waits in.
            receive: what says that the caller is gone.
            seconds: how long it may take; None for no limit.
            function: what is run.

        Raises:
            Refused: too many wait, or the time is over.
            CallerGone: the caller has closed the connection.
        """
        if len(self._waiting.get(owner, ())) >= _MAX_WAITING:
            raise failures.too_many_bodies()
        return await self._run(owner, receive, seconds, function)

    async def write(self, owner: bytes, receive: Receive, function: Callable[[], T]) -> T:
        """Runs a function however many wait: refused here, a call that the service has made already would be lost.

        Raises:
            CallerGone: the caller has closed the connection.
        """
        return await self._run(owner, receive, None, function)

    async def _run(self, owner: bytes, receive: Receive, seconds: float | None, function: Callable[[], T]) -> T:
        job = _Job(function)
        with self._lock:
            self._waiting.setdefault(owner, deque()).append(job)
        self._executor.submit(self._run_next)
        done = asyncio.wrap_future(job.future)
        gone = asyncio.create_task(until_gone(receive))
        try:
            await asyncio.wait({done, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                result: T = done.result()
                return result
            if gone.done():
                raise CallerGone
            raise failures.too_slow()
        finally:
            gone.cancel()
            if not done.done():
                done.cancel()
                self._drop(owner, job)
            del done, job  # an error that they hold refers back to this frame

    def _run_next(self) -> None:
        """Runs the first function of the queue that has waited longest. Is called once for each function."""
        with self._lock:
            owner = next(iter(self._waiting), None)
            if owner is None:
                return  # one was dropped
            jobs = self._waiting.pop(owner)
            job = jobs.popleft()
            if jobs:
                self._waiting[owner] = jobs  # behind the other queues
            job.future.set_running_or_notify_cancel()  # from here on it cannot be cancelled
        try:
            job.future.set_result(job.function())
        except BaseException as error:  # noqa: BLE001  # the caller gets it
            job.future.set_exception(error)
        finally:
            del job  # as above

    def _drop(self, owner: bytes, job: _Job) -> None:
        with self._lock:
            jobs = self._waiting.get(owner)
            if jobs is None or job not in jobs:
                return  # it has begun
            jobs.remove(job)
            if not jobs:
                del self._waiting[owner]
