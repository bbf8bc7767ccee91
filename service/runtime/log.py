"""The log: the standard library's `logging`, a line for each event. `access` has a faster way, for each call's line."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from service.runtime import access_log
from service.runtime.access_log import AccessLog
from service.runtime.log_format import LOGGER, EventFormatter
from service.runtime.log_limits import LogLimits

# Callers may cause a library's warnings: at most so many lines a second from one place in its code.
_LIBRARY_LINES = 10

_logger = logging.getLogger(LOGGER)
_logger.setLevel(logging.INFO)
_logger.addHandler(logging.NullHandler())  # until `configure`, events are not written

_formatter: EventFormatter | None = None
_access_log: AccessLog | None = None
_process_name = ""
_trace_id: Callable[[], str] | None = None


def info(event: str, /, **fields: Any) -> None:
    """Logs an event that is part of normal work."""
    _logger.info(event, extra={"fields": _traced(fields)})


def warning(event: str, /, **fields: Any) -> None:
    """Logs an event that an operator may have to look at."""
    _logger.warning(event, extra={"fields": _traced(fields)})


def error(event: str, /, **fields: Any) -> None:
    """Logs a failure."""
    _logger.error(event, extra={"fields": _traced(fields)})


def exception(event: str, /, **fields: Any) -> None:
    """Logs a defect, with the traceback of the exception that is being handled."""
    _logger.error(event, exc_info=True, extra={"fields": _traced(fields)})  # noqa: LOG014  # callers handle an exception


def access(event: str, /, **fields: Any) -> None:
    """Logs a call or a request, a moment later."""
    if _access_log is not None:
        _access_log.write(event, _traced(fields))


def add_trace_id(trace_id: Callable[[], str] | None) -> None:
    """Adds the id of the current trace to each line from now on. `trace_id` returns it, or an empty text."""
    global _trace_id  # noqa: PLW0603  # a process has one log
    _trace_id = trace_id


def _traced(fields: dict[str, Any]) -> dict[str, Any]:
    if _trace_id is not None:
        fields["trace_id"] = _trace_id()
    return fields


def flush() -> None:
    """Writes the lines that wait, because the process ends."""
    if _access_log is not None:
        _access_log.flush()


def name_process(name: str) -> None:
    """Names this process in each line from now on."""
    global _process_name  # noqa: PLW0603  # a process has one name
    _process_name = name
    if _formatter is not None:
        _formatter.process_name = name


def process_name() -> str:
    """Returns the name of this process in the log; empty where it is the only one."""
    return _process_name


class _Handler(logging.Handler):
    """Writes events and libraries' messages to a stream, after the lines of the access log that wait."""

    def __init__(self, stream: TextIO, formatter: EventFormatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._stream = stream
        self._limits = LogLimits(_LIBRARY_LINES)
        self.access_log = AccessLog(stream, formatter, self._lock)

    def createLock(self) -> None:  # noqa: N802  # the standard library's name
        """Makes the handler's lock, which the access log uses too: two locks would be taken in two orders.

        It is reentrant: a finalizer that the garbage collector runs may log while a line is written.
        """
        self._lock = threading.RLock()
        self.lock = self._lock

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record, unless its place in a library has logged too much in this second."""
        if record.name != _logger.name:
            cause = record.exc_info[0] if record.exc_info else None
            left_out = self._limits.admit((record.pathname, record.lineno, record.levelno, cause))
            if left_out is None:
                return
            record.left_out = left_out
        try:
            line = self.format(record)
            self.access_log.flush()
            access_log.write(self._stream, line + "\n")
        except Exception:  # noqa: BLE001  # as the standard library's handlers do: the library goes on
            self.handleError(record)


def configure(stream: TextIO | None = None, *, json: bool | None = None) -> None:
    """Sets the log up, for this service's events and for the libraries' warnings.

    Args:
        stream: where it is written; standard error by default.
        json: whether a line is a JSON object; by default, unless the stream is a terminal.
    """
    global _formatter, _access_log  # noqa: PLW0603  # a process has one log
    stream = stream or sys.stderr
    _formatter = EventFormatter(json=not stream.isatty() if json is None else json)
    _formatter.process_name = _process_name
    handler = _Handler(stream, _formatter)
    _access_log = handler.access_log
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def disable() -> None:
    """Writes nothing from now on."""
    global _formatter, _access_log  # noqa: PLW0603  # as above
    _formatter = _access_log = None
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)


def log_thread_failures() -> None:
    """Logs an exception that ends a thread, instead of a traceback between the lines."""

    def failed(thread: threading.ExceptHookArgs) -> None:
        if thread.exc_value is not None:
            name = thread.thread.name if thread.thread is not None else None
            error("thread failed", name=name, exception="".join(traceback.format_exception(thread.exc_value)))

    threading.excepthook = failed
