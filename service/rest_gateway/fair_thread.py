"""One thread for work that would block the event loop too long, shared fairly among the owners of the requests."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from service.rest_gateway import errors
from service.rest_gateway.asgi import ClientDisconnected, Receive, wait_for_disconnect

_MAX_WAITING = 100

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Job:
    function: Callable[[], Any]
    future: "Future[Any]" = field(default_factory=Future)


class FairThread:
    """Runs functions on one thread. Each owner has a queue, and the thread takes from the queues in rotation.

    A function that has not started is dropped when its client disconnects or its time is over.

    Args:
        name: for the thread's name.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, name)
        self._queues: dict[bytes, deque[_Job]] = {}
        self._lock = threading.Lock()

    async def read(self, owner: bytes, receive: Receive, seconds: float | None, function: Callable[[], T]) -> T:
        """Runs a function that parses a request, unless the queue of its owner is full.

        Args:
            owner: the organisation of the request.
            receive: the ASGI callable, which reports that the client disconnected.
            seconds: how long the function may wait and run; None for no limit.
            function: what to run.

        Raises:
            HTTPError: the queue is full, or the time is over.
            ClientDisconnected: the client closed the connection.
        """
        if len(self._queues.get(owner, ())) >= _MAX_WAITING:
            raise errors.too_many_bodies()
        return await self._run(owner, receive, seconds, function)

    async def write(self, owner: bytes, receive: Receive, function: Callable[[], T]) -> T:
        """Runs a function that writes an answer. The queue has no limit for it, because the call has been made.

        Raises:
            ClientDisconnected: the client closed the connection.
        """
        return await self._run(owner, receive, None, function)

    async def _run(self, owner: bytes, receive: Receive, seconds: float | None, function: Callable[[], T]) -> T:
        job = _Job(function)
        with self._lock:
            self._queues.setdefault(owner, deque()).append(job)
        self._executor.submit(self._run_next)
        done = asyncio.wrap_future(job.future)
        disconnected = asyncio.create_task(wait_for_disconnect(receive))
        try:
            await asyncio.wait({done, disconnected}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                result: T = done.result()
                return result
            if disconnected.done():
                raise ClientDisconnected
            raise errors.deadline_exceeded()
        finally:
            disconnected.cancel()
            if not done.done():
                done.cancel()
                self._drop(owner, job)
            del done, job  # an exception in them refers to this frame, which would be a reference cycle

    def _run_next(self) -> None:
        """Runs the first function of the first queue, which then becomes the last. Is called once per function."""
        with self._lock:
            owner = next(iter(self._queues), None)
            if owner is None:
                return  # a function was dropped
            jobs = self._queues.pop(owner)
            job = jobs.popleft()
            if jobs:
                self._queues[owner] = jobs
            job.future.set_running_or_notify_cancel()  # from here on it cannot be cancelled
        try:
            job.future.set_result(job.function())
        except BaseException as error:  # noqa: BLE001  # the coroutine that waits raises it
            job.future.set_exception(error)
        finally:
            del job  # as in _run

    def _drop(self, owner: bytes, job: _Job) -> None:
        with self._lock:
            jobs = self._queues.get(owner)
            if jobs is None or job not in jobs:
                return  # it has started
            jobs.remove(job)
            if not jobs:
                del self._queues[owner]
