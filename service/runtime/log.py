"""Tells the log what happens: an event's name, with fields beside it. `log_lines` says how that is written, and where.

The service's own events go past Python's `logging`, whose records take longer to make than the lines to write.
"""

import time
import traceback
from typing import Any, Protocol


class Sink(Protocol):
    """Where events go."""

    def write(self, event: str, level: str, fields: dict[str, Any]) -> None:
        """Writes an event, behind those that wait."""

    def write_soon(self, event: str, fields: dict[str, Any], at: float) -> None:
        """Writes an event that happened at a time, in seconds since 1970, within moments."""

    def flush(self) -> None:
        """Writes what waits."""


class _Nowhere:
    """Is where events go that nobody has asked for."""

    def write(self, event: str, level: str, fields: dict[str, Any]) -> None:
        pass

    def write_soon(self, event: str, fields: dict[str, Any], at: float) -> None:
        pass

    def flush(self) -> None:
        pass


_sink: Sink = _Nowhere()


def write_to(sink: Sink | None) -> None:
    """Has all events go somewhere from now on; to None, nowhere."""
    global _sink  # noqa: PLW0603  # a process has one log
    _sink = sink or _Nowhere()


def info(event: str, /, **fields: Any) -> None:
    """Tells of something that happens as it should."""
    _sink.write(event, "info", fields)


def soon(event: str, /, **fields: Any) -> None:
    """Tells of what happens as it should and all the time. To write it with others takes a fraction of the effort."""
    _sink.write_soon(event, fields, time.time())


def flush() -> None:
    """Has what waits written, because the process ends."""
    _sink.flush()


def warning(event: str, /, **fields: Any) -> None:
    """Tells of something that an operator may have to look at."""
    _sink.write(event, "warning", fields)


def error(event: str, /, **fields: Any) -> None:
    """Tells of something that failed."""
    _sink.write(event, "error", fields)


def exception(event: str, /, **fields: Any) -> None:
    """Tells of a defect, with the traceback of the exception that is being handled."""
    _sink.write(event, "error", {**fields, "exception": traceback.format_exc()})
