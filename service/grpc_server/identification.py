"""Finds whose the keys are that are not known yet, a few at a time."""

import copy
import threading
import time
from collections.abc import Callable

from service.domain.cancellation import Cancellation
from service.domain.errors import Cancelled, InternalError, Overloaded, ServiceError
from service.domain.keys import Principal
from service.grpc_server.arrival import Arrival
from service.grpc_server.authentication import Authenticator
from service.grpc_server.executors import FairExecutor
from service.runtime import log

# Keys that are made up cost a question each. These are so many at once, and no other call waits for them.
_QUESTIONS = 2
_MAX_WAITING = 1_000
_QUESTION_SECONDS = 10.0

_Waiting = list[tuple[Arrival, Callable[[], None]]]


class Identification:
    """Asks the database about unknown keys. Calls that come with the same key wait for one answer.

    Args:
        authenticator: asks.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._threads = FairExecutor("key", 2 * _QUESTIONS)  # of no organisation, which may have half
        self._asked: dict[str, _Waiting] = {}
        self._waiting = 0
        self._lock = threading.Lock()

    @property
    def pending(self) -> int:
        """How many calls wait for an answer."""
        return self._waiting

    def find(self, arrival: Arrival, then: Callable[[], None]) -> None:
        """Sets the call's principal, or the error it is refused with, and calls back. Does not block.

        If too many calls wait, the key that has waited longest is not asked about.
        """
        dropped: _Waiting = []
        with self._lock:
            if self._waiting >= _MAX_WAITING:
                dropped = self._take(next(iter(self._asked)))
            self._waiting += 1
            waiting = self._asked.setdefault(arrival.sha256, [])
            waiting.append((arrival, then))
            first = len(waiting) == 1
        if first:
            self._threads.submit(self._ask, arrival.sha256)
        _call_back(dropped, None, Overloaded())

    def refuse(self, error: ServiceError) -> None:
        """Refuses all calls that wait."""
        with self._lock:
            waiting = [call for key in list(self._asked) for call in self._take(key)]
        _call_back(waiting, None, error)

    def close(self) -> None:
        """Lets the threads end."""
        self._threads.close()

    def _ask(self, sha256: str) -> None:
        with self._lock:
            wanted = any(arrival.active() for arrival, _ in self._asked.get(sha256, ()))
        principal, error = None, None
        try:
            if wanted:
                deadline = time.monotonic() + _QUESTION_SECONDS
                principal = self._authenticator.principal(sha256, Cancellation(deadline))
        except ServiceError as known:
            # Its traceback has this frame, and with it the calls, so they would be freed by the collector alone. Until
            # a call is freed, its stream counts among those of its connection.
            error = known.with_traceback(None)
        except Exception:  # noqa: BLE001  # whatever it is, the callers get a status and the log the cause
            error = InternalError()
            log.exception("defect")
        with self._lock:
            calls = self._take(sha256)
        # A call may have come meanwhile: it is asked about like a new one.
        if not wanted and any(arrival.active() for arrival, _ in calls):
            for arrival, then in calls:
                self.find(arrival, then)
            return
        _call_back(calls, principal, error)

    def _take(self, sha256: str) -> _Waiting:
        calls = self._asked.pop(sha256, [])
        self._waiting -= len(calls)
        return calls


def _call_back(calls: _Waiting, principal: Principal | None, error: ServiceError | None) -> None:
    for arrival, then in calls:
        arrival.principal = principal
        if principal is None:
            # Each call raises its own: an exception keeps the stack that it was raised on.
            arrival.error = copy.copy(error or Cancelled()).with_traceback(None)
        try:
            then()
        except Exception:  # noqa: BLE001  # the others' calls go on
            log.exception("defect")
