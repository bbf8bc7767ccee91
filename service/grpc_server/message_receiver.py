"""Receives a call's message, within the server's capacity, and only then has a thread serve the call."""

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from service.domain.errors import Overloaded, RequestTooLarge, ServiceError
from service.grpc_server.capacity import Capacity, Idle
from service.grpc_server.incoming_call import CallHandoff, IncomingCall, serve
from service.grpc_server.receiving import Job
from service.grpc_server.refusals import Pace, Refusals
from service.runtime import log
from service.runtime.executors import SUBMITTED, FairExecutor

if TYPE_CHECKING:
    from concurrent.futures import Future

Identify = Callable[[IncomingCall, Callable[[], None]], None]


class MessageReceiver(FairExecutor):
    """Runs calls whose message has come. Until then a call takes a place, but no thread.

    Args:
        name: for the threads' names.
        threads: how many calls run at once.
        capacity: how many calls and bytes there may be.
        handoff: returns the call that gRPC submits.
        refusals: ends calls that are refused.
        identify: finds the organisation of a call's key, where it is not in the cache, and then calls back.
        pace: bounds how many calls are served in a second; None for no bound.
        ahead: whether a message is received before a thread serves the call (see `receiving`).
    """

    def __init__(
        self,
        name: str,
        threads: int,
        capacity: Capacity,
        *,
        handoff: CallHandoff,
        refusals: Refusals,
        identify: Identify | None = None,
        pace: Pace | None = None,
        ahead: bool = True,
    ) -> None:
        super().__init__(name, threads)
        self._capacity = capacity
        self._handoff = handoff
        self._refusals = refusals
        self._identify = identify
        self._pace = pace
        self._ahead = ahead
        self._held: list[tuple[IncomingCall, Job]] | None = None
        self._holding = threading.Lock()

    @property
    def pending(self) -> int:
        """How many calls are being received, wait or run."""
        return self._capacity.used

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> "Future[Any]":
        """Begins with a call. Runs on the thread that accepts all calls, so it does not block."""
        job = Job(fn, args)
        try:
            incoming = self._handoff.take()
            incoming.active = lambda: job.active
            if incoming.principal is None:
                incoming.peer = job.peer
            if self._hold(incoming, job):
                pass
            elif self._identify is not None and incoming.principal is None and incoming.error is None:
                self._identify(incoming, partial(self._admit, incoming, job))
            else:
                self._admit(incoming, job)
        except Exception:  # noqa: BLE001  # an error here would end the thread that accepts all calls
            log.exception("defect")
            job.cancel()
        return SUBMITTED

    def hold(self) -> None:
        """Holds the calls that come from now on: they get no answer yet."""
        with self._holding:
            self._held = []

    def refuse_held(self, error: ServiceError) -> None:
        """Refuses the calls that are held."""
        with self._holding:
            held, self._held = self._held or [], None
        for incoming, job in held:
            self._refuse(incoming, job, error)

    def idle(self, seconds: float, *, answered: bool | None = None) -> list[IncomingCall]:
        """Lists the calls that have waited longer than this for their callers; see `Capacity.idle`."""
        return self._capacity.idle(seconds, answered=answered)

    def set_aside(self, incoming: IncomingCall) -> None:
        """Reserves bytes for a message that is slow to come, or ends its call if there are not enough."""
        if not self._capacity.set_aside(incoming):
            self.fail(incoming, Overloaded())

    def answer(self, incoming: IncomingCall, length: int) -> None:
        """Records the length of a call's answer. Another call that waits long for its caller may be ended for it."""
        dropped = self._capacity.answer(incoming, length)
        if dropped is not None:
            self._end_waiting(*dropped, Overloaded())

    def over(self, incoming: IncomingCall) -> None:
        """Records that a call's answer has been sent or that its caller has gone."""
        self._capacity.over(incoming)

    def fail(self, incoming: IncomingCall, error: ServiceError) -> None:
        """Ends a call that waits for its caller, unless it does not wait any more."""
        idle = self._capacity.drop(incoming)
        if idle is not None:
            self._end_waiting(incoming, idle, error)

    def _hold(self, incoming: IncomingCall, job: Job) -> bool:
        with self._holding:
            held = self._held
            if held is not None:
                held.append((incoming, job))
        return held is not None

    def _admit(self, incoming: IncomingCall, job: Job) -> None:
        if incoming.error is None:
            entered, dropped = self._capacity.enter(incoming)
            if not entered:
                incoming.error = Overloaded()
            if dropped is not None:
                self._end_waiting(*dropped, Overloaded())
        if incoming.error is not None:
            self._refuse(incoming, job, incoming.error)
            return
        if self._ahead:
            self._capacity.wait(incoming, job)
            job.receive(partial(self._received, incoming, job))
        else:
            incoming.received = partial(self._check, incoming)
            self._serve(incoming, job)

    def _received(self, incoming: IncomingCall, job: Job, message: bytes | None) -> None:
        """Serves a call whose message has come, or which the caller ended without one."""
        try:
            self._check(incoming, 0 if message is None else len(message))
            if incoming.has_place:
                incoming.has_long_answer = message is not None and incoming.rpc.long_answer(message)
                job.set_messages(() if message is None else (message,))
                self._serve(incoming, job)
        except ServiceError as error:
            self._capacity.leave(incoming)
            self._refuse(incoming, job, error.with_traceback(None))
        except Exception:  # noqa: BLE001  # an error here would end the thread that accepts all calls
            log.exception("defect", method=incoming.method)
            job.cancel()

    def _check(self, incoming: IncomingCall, length: int) -> None:
        fits = self._capacity.receive(incoming, length)
        if fits is None:
            return
        most = incoming.rpc.limits.bytes
        if length > most:
            raise RequestTooLarge(f"The request has {length} bytes; this method takes at most {most}")
        if not fits:
            raise Overloaded

    def _serve(self, incoming: IncomingCall, job: Job) -> None:
        def task() -> None:
            if not self._ahead:
                self._capacity.wait(incoming, job)
            if self._pace is not None:
                self._pace.wait()
            serve(incoming)
            try:
                job()
            finally:
                serve(None)
                if self._ahead:
                    job.release()
                self._capacity.end(incoming, job)

        self.run(incoming.owner, task, large=incoming.is_large)

    def _end_waiting(self, incoming: IncomingCall, idle: Idle, error: ServiceError) -> None:
        if self._ahead and not idle.answered:
            self._refuse(incoming, idle.job, error)
        else:
            incoming.error = error
            idle.job.cancel()

    def _refuse(self, incoming: IncomingCall, job: Job, error: ServiceError) -> None:
        incoming.error = error
        if self._ahead:
            job.set_messages(())
        self._refusals.refuse(incoming, job)
