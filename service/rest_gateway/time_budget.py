"""Limits the event loop's time for events of unauthenticated connections to half."""

# After each second of paced events, the loop has one second for all others.
_PERIOD_PER_SECOND = 2.0
# Paced events may take this long without a pause. A pause lasts at least a millisecond, the unit of epoll.
BURST_SECONDS = 0.01


class TimeBudget:
    """A token bucket of time. All times are in seconds on one clock."""

    def __init__(self) -> None:
        self._free_at = 0.0

    def pause(self, now: float) -> float:
        """Returns how long the next paced event has to wait."""
        return max(0.0, self._free_at - now)

    def charge(self, now: float, spent: float) -> None:
        """Takes the time of a paced event from the budget."""
        self._free_at = max(self._free_at, now - spent - BURST_SECONDS) + _PERIOD_PER_SECOND * spent

    def refund(self, spent: float) -> None:
        """Puts time back that was charged."""
        self._free_at -= _PERIOD_PER_SECOND * spent
