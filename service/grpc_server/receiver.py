"""Takes calls in: sets room aside for a call's message, waits for it, and only then has a thread serve the call."""

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from service.domain.errors import Overloaded, RequestTooLarge, ServiceError
from service.grpc_server.arrival import Arrival, Arriving
from service.grpc_server.executors import TAKEN, FairExecutor
from service.grpc_server.receiving import Job
from service.grpc_server.refusals import Pace, Refusals
from service.grpc_server.room import Idle, Room
from service.runtime import log

if TYPE_CHECKING:
    from concurrent.futures import Future

Identify = Callable[[Arrival, Callable[[], None]], None]


class Receiver(FairExecutor):
    """Runs calls whose message has come. A call whose message has not holds room but no thread.

    Args:
        name: for the threads' names.
        threads: how many calls run at once.
        room: what calls take up from their headers on.
        arriving: names the call that gRPC submits.
        refusals: ends calls that are refused.
        identify: finds whose the key of a call is, where that is not known, and then calls back.
        pace: bounds how often a call is served, if it is to be bounded.
        ahead: whether messages are received ahead (see `receiving`). If not, the threads wait for them.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        room: Room,
        *,
        arriving: Arriving,
        refusals: Refusals,
        identify: Identify | None = None,
        pace: Pace | None = None,
        ahead: bool = True,
    ) -> None:
        super().__init__(name, threads)
        self._room = room
        self._arriving = arriving
        self._refusals = refusals
        self._identify = identify
        self._pace = pace
        self._ahead = ahead
        self._held: list[tuple[Arrival, Job]] | None = None
        self._holding = threading.Lock()

    @property
    def pending(self) -> int:
        """How many calls are received, wait or run."""
        return self._room.used

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> "Future[Any]":
        """Takes a call in. Runs on the thread that takes all calls in, so it does not block."""
        job = Job(fn, args)
        try:
            arrival = self._arriving.take()
            arrival.active = lambda: job.active
            if arrival.principal is None:
                arrival.peer = job.peer
            if self._hold(arrival, job):
                pass
            elif self._identify is not None and arrival.principal is None and arrival.error is None:
                self._identify(arrival, partial(self._admit, arrival, job))
            else:
                self._admit(arrival, job)
        except Exception:  # noqa: BLE001  # an error here would end the thread that takes all calls in
            log.exception("defect")
            job.cancel()
        return TAKEN

    def hold(self) -> None:
        """Keeps the calls that come from now on, without an answer."""
        with self._holding:
            self._held = []

    def refuse_held(self, error: ServiceError) -> None:
        """Refuses the calls that were held."""
        with self._holding:
            held, self._held = self._held or [], None
        for arrival, job in held:
            self._refuse(arrival, job, error)

    def idle(self, seconds: float, *, answered: bool | None = None) -> list[Arrival]:
        """Lists the calls that have waited for their callers longer than this: for the message, or `answered`."""
        return self._room.idle(seconds, answered=answered)

    def set_aside(self, arrival: Arrival) -> None:
        """Sets bytes aside for a message that is slow to come, or ends its call if too many are so."""
        if not self._room.set_aside(arrival):
            self.fail(arrival, Overloaded())

    def answer(self, arrival: Arrival, length: int) -> None:
        """Makes room for a call's answer. Another call that has long waited for its caller may lose its own."""
        lost = self._room.answer(arrival, length)
        if lost is not None:
            self._lose(*lost, Overloaded())

    def over(self, arrival: Arrival) -> None:
        """Notes that a call's answer has been sent, or its caller has gone."""
        self._room.over(arrival)

    def fail(self, arrival: Arrival, error: ServiceError) -> None:
        """Ends a call that waits for its caller, unless it waits no more."""
        idle = self._room.lose(arrival)
        if idle is not None:
            self._lose(arrival, idle, error)

    def _hold(self, arrival: Arrival, job: Job) -> bool:
        with self._holding:
            held = self._held
            if held is not None:
                held.append((arrival, job))
        return held is not None

    def _admit(self, arrival: Arrival, job: Job) -> None:
        if arrival.error is None:
            entered, lost = self._room.enter(arrival)
            if not entered:
                arrival.error = Overloaded()
            if lost is not None:
                self._lose(*lost, Overloaded())
        if arrival.error is not None:
            self._refuse(arrival, job, arrival.error)
            return
        if self._ahead:
            self._room.wait(arrival, job)
            job.receive(partial(self._received, arrival, job))
        else:
            arrival.received = partial(self._check, arrival)
            self._serve(arrival, job)

    def _received(self, arrival: Arrival, job: Job, message: bytes | None) -> None:
        """Goes on with a call whose message has come, or whose caller ended it without one."""
        try:
            self._check(arrival, 0 if message is None else len(message))
            if arrival.has_place:
                arrival.has_long_answer = message is not None and arrival.rpc.long_answer(message)
                job.give(() if message is None else (message,))
                self._serve(arrival, job)
        except ServiceError as error:
            self._room.leave(arrival)
            self._refuse(arrival, job, error.with_traceback(None))
        except Exception:  # noqa: BLE001  # an error here would end the thread that takes all calls in
            log.exception("defect", method=arrival.method)
            job.cancel()

    def _check(self, arrival: Arrival, length: int) -> None:
        fits = self._room.receive(arrival, length)
        if fits is None:
            return
        most = arrival.rpc.limits.bytes
        if length > most:
            raise RequestTooLarge(f"The request has {length} bytes; this method takes at most {most}")
        if not fits:
            raise Overloaded

    def _serve(self, arrival: Arrival, job: Job) -> None:
        def task() -> None:
            if not self._ahead:
                self._room.wait(arrival, job)
            if self._pace is not None:
                self._pace.wait()
            try:
                job()
            finally:
                if self._ahead:
                    job.release()
                self._room.end(arrival, job)

        self.run(arrival, task)

    def _lose(self, arrival: Arrival, idle: Idle, error: ServiceError) -> None:
        if self._ahead and not idle.answered:
            self._refuse(arrival, idle.job, error)
        else:
            arrival.error = error
            idle.job.cancel()

    def _refuse(self, arrival: Arrival, job: Job, error: ServiceError) -> None:
        arrival.error = error
        if self._ahead:
            job.give(())
        self._refusals.refuse(arrival, job)
