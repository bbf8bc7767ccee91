"""Warnings that callers cause at will."""

from typing import Any

from service.runtime import log
from service.runtime.log_limits import LogLimits


class Warnings:
    """Writes one warning of a kind in a second."""

    def __init__(self) -> None:
        self._limits = LogLimits()

    def warn(self, event: str, **fields: Any) -> None:
        """Writes a warning, or counts it for the next one of its kind."""
        left_out = self._limits.admit(event)
        if left_out is not None:
            log.warning(event, **fields, left_out=left_out)
