"""Logs warnings that callers can cause as often as they like."""

from typing import Any

from service.runtime import log
from service.runtime.log_limits import LogLimits


class WarningLog:
    """Logs each event at most once a second."""

    def __init__(self) -> None:
        self._limits = LogLimits()

    def warn(self, event: str, **fields: Any) -> None:
        """Logs a warning, or counts it in the field `left_out` of the next one of the same event."""
        left_out = self._limits.admit(event)
        if left_out is not None:
            log.warning(event, **fields, left_out=left_out)
