"""Cancels the work of a call: at its deadline, or when its caller has cancelled it. The database has to learn of it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

_ASK_AGAIN_SECONDS = 0.05


class Cancellation:
    """What a call and the transaction that serves it share, so that the one can stop the other.

    Args:
        deadline: when the caller stops waiting, on `time.monotonic`'s clock in seconds; None for never.

    Attributes:
        cancelled_error: what `check` raises when the caller has cancelled.
        deadline_error: what it raises when the deadline has passed.
    """

    cancelled_error: ClassVar[type[Exception]]
    deadline_error: ClassVar[type[Exception]]

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline = deadline
        self._cancelled = False
        self._stop: Callable[[], None] | None = None
        # Whether a request to stop may arrive when another call uses the connection.
        self.unsure = False
        # Held while a statement is being stopped, so that a connection never goes to another call while a cancellation
        # is on its way.
        self._lock = threading.Lock()

    def cancel(self) -> bool:
        """Notes that the caller has cancelled. Returns whether a statement is running that `stop` has to end."""
        self._cancelled = True
        return self._stop is not None

    def stop(self) -> None:
        """Stops the running statement, if there is one. May block: the request goes to the database over the network.

        It is repeated until it has worked: a request that arrives between two statements has no effect.
        """
        while True:
            with self._lock:
                if self._stop is None:
                    return
                try:
                    self._stop()
                except Exception:  # noqa: BLE001  # repeated below; and the request may still arrive later
                    self.unsure = True
            time.sleep(_ASK_AGAIN_SECONDS)

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Sets what a cancellation calls while the block runs."""
        with self._lock:
            self._stop = stop
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._stop = None

    def remaining(self) -> float | None:
        """The seconds left until the deadline, or None if there is none. Never negative."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def wait(self, seconds: float) -> None:
        """Waits for a time. Raises as `check` does, as soon as the call is cancelled or its deadline passes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, _ASK_AGAIN_SECONDS))

    def check(self) -> None:
        """Raises `deadline_error` if the deadline has passed, and `cancelled_error` if the caller has cancelled."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise self.deadline_error
        if self._cancelled:
            raise self.cancelled_error
