"""Finds whose the keys are that are not known yet, a few at a time."""

import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from service import log
from service.domain.errors import InternalError, Overloaded, ServiceError
from service.domain.interruption import Interruption
from service.transport.arrival import Arrival
from service.transport.authentication import Authenticator

# Keys that are made up cost a question each. These are so many at once, and no other call waits for them.
_QUESTIONS = 2
_MAX_WAITING = 1_000
_QUESTION_SECONDS = 10.0


class Identification:
    """Asks the database about unknown keys. Calls that come with the same key wait for one answer.

    Args:
        authenticator: asks.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._threads = ThreadPoolExecutor(_QUESTIONS, thread_name_prefix="key")
        self._asked: dict[str, list[tuple[Arrival, Callable[[], None]]]] = {}
        self._waiting = 0
        self._lock = threading.Lock()

    def find(self, arrival: Arrival, then: Callable[[], None]) -> None:
        """Sets the call's principal, or the error it is refused with, and calls back. Does not block."""
        with self._lock:
            if room := self._waiting < _MAX_WAITING:
                self._waiting += 1
                first = arrival.sha256 not in self._asked
                self._asked.setdefault(arrival.sha256, []).append((arrival, then))
                if first:
                    self._threads.submit(self._ask, arrival.sha256)
        if not room:
            arrival.error = Overloaded()
            then()

    def close(self) -> None:
        """Lets the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, sha256: str) -> None:
        principal, error = None, None
        try:
            principal = self._authenticator.principal(sha256, Interruption(time.monotonic() + _QUESTION_SECONDS))
        except ServiceError as known:
            error = known
        except Exception:  # noqa: BLE001  # whatever it is, the callers get a status and the log the cause
            error = InternalError()
            log.exception("defect")
        with self._lock:
            calls = self._asked.pop(sha256)
            self._waiting -= len(calls)
        for arrival, then in calls:
            arrival.principal = principal
            # Each call raises its own: an exception keeps the stack that it was raised on.
            arrival.error = None if error is None else copy.copy(error).with_traceback(None)
            then()
