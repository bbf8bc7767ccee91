"""Limits how many lines a second the log has of equal events."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass


@dataclass(slots=True)
class _Second:
    """A second's events of one kind."""

    ends: float = 0.0
    written: int = 0
    left_out: int = 0


class LogLimits:
    """Counts events by their kind, so that some of each are written in a second, and the others are counted.

    Args:
        most: how many of a kind are written in a second.
        clock: returns the time in seconds.
    """

    def __init__(self, most: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._seconds: dict[Hashable, _Second] = {}
        self._lock = threading.RLock()  # the garbage collector may run while it is held, and finalizers may log

    def admit(self, kind: Hashable) -> int | None:
        """Decides whether an event is written. The number of kinds must be bounded, because each is kept.

        Returns:
            How many of the kind were left out before it; None if it is left out too.
        """
        now = self._clock()
        with self._lock:
            second = self._seconds.get(kind)
            if second is None:
                second = self._seconds[kind] = _Second()
            if now >= second.ends:
                second.ends, second.written = now + 1, 0
            if second.written >= self._most:
                second.left_out += 1
                return None
            second.written += 1
            left_out, second.left_out = second.left_out, 0
        return left_out
