"""Looks up keys that are not in the cache, a few at a time."""

import copy
import threading
import time
from collections.abc import Callable

from service.domain.cancellation import Cancellation
from service.domain.errors import Cancelled, InternalError, Overloaded, ServiceError
from service.domain.keys import Principal
from service.grpc_server.authentication import Authenticator
from service.grpc_server.incoming_call import IncomingCall
from service.runtime import log
from service.runtime.executors import FairExecutor

# Each invented key costs a query. This many run at once, and no other call waits for them.
_QUESTIONS = 2
_MAX_WAITING = 1_000
_QUESTION_SECONDS = 10.0

_Waiting = list[tuple[IncomingCall, Callable[[], None]]]


class Identification:
    """Looks keys up in the database. Calls with the same key wait for one query.

    Args:
        authenticator: looks a key up.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._threads = FairExecutor("key", 2 * _QUESTIONS)  # calls of no organisation may have half of them
        self._asked: dict[str, _Waiting] = {}
        self._waiting = 0
        self._lock = threading.Lock()

    @property
    def pending(self) -> int:
        """How many calls wait for their key."""
        return self._waiting

    def find(self, incoming: IncomingCall, then: Callable[[], None]) -> None:
        """Sets the call's principal, or the error that it is refused with, and calls back. Does not block.

        If too many calls wait, those of the key that has waited longest are refused.
        """
        dropped: _Waiting = []
        with self._lock:
            if self._waiting >= _MAX_WAITING:
                dropped = self._take(next(iter(self._asked)))
            self._waiting += 1
            waiting = self._asked.setdefault(incoming.sha256, [])
            waiting.append((incoming, then))
            first = len(waiting) == 1
        if first:
            self._threads.submit(self._ask, incoming.sha256)
        _call_back(dropped, None, Overloaded())

    def refuse(self, error: ServiceError) -> None:
        """Refuses all calls that wait."""
        with self._lock:
            waiting = [call for key in list(self._asked) for call in self._take(key)]
        _call_back(waiting, None, error)

    def close(self) -> None:
        """Ends the threads, each when it has nothing to do."""
        self._threads.close()

    def _ask(self, sha256: str) -> None:
        with self._lock:
            wanted = any(incoming.active() for incoming, _ in self._asked.get(sha256, ()))
        principal, error = None, None
        try:
            if wanted:
                deadline = time.monotonic() + _QUESTION_SECONDS
                principal = self._authenticator.principal(sha256, Cancellation(deadline))
        except ServiceError as known:
            # Its traceback refers to this frame and so to the calls: a cycle, which only the garbage collector frees.
            # Until a call is freed, its stream counts among those of its connection.
            error = known.with_traceback(None)
        except Exception:  # noqa: BLE001  # any defect ends as a status, with its cause in the log
            error = InternalError()
            log.exception("defect")
        with self._lock:
            calls = self._take(sha256)
        # A call with this key may have come meanwhile: its key is looked up like a new one.
        if not wanted and any(incoming.active() for incoming, _ in calls):
            for incoming, then in calls:
                self.find(incoming, then)
            return
        _call_back(calls, principal, error)

    def _take(self, sha256: str) -> _Waiting:
        calls = self._asked.pop(sha256, [])
        self._waiting -= len(calls)
        return calls


def _call_back(calls: _Waiting, principal: Principal | None, error: ServiceError | None) -> None:
    for incoming, then in calls:
        incoming.principal = principal
        if principal is None:
            # Each call raises a copy: an exception keeps the stack that it was raised on.
            incoming.error = copy.copy(error or Cancelled()).with_traceback(None)
        try:
            then()
        except Exception:  # noqa: BLE001  # the other calls go on
            log.exception("defect")
