"""The log: one line an event, JSON where nobody watches, and nothing personal in it."""

import atexit
import logging
import re
import sys
import threading
import time
import traceback
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from json import JSONEncoder, dumps
from typing import Any, TextIO

from service.runtime import log
from service.runtime.log_limits import LogLimits
from service.runtime.terminal import visible

API_KEY_PATTERN = re.compile(r"da_[0-9A-Za-z]{8}_[0-9A-Za-z]{8,}")
"""Matches anything that looks like an API key, or the beginning of one."""

# From the start of a word on: tried from each of its characters, a long word without an @ would take for ever.
# In a path the @ may be percent-encoded.
_EMAIL = re.compile(r"(?<![^\s\"'<>()=,;:])[^\s\"'<>()=,;:]+(?:@|%40)[^\s\"'<>()=,;:]+")
# Where PostgreSQL quotes the offending row, up to what SQLAlchemy or Python writes next: a value may have many lines.
_DETAIL = re.compile(
    r"^(DETAIL|CONTEXT|\s*Failing row).*?(?=^\[SQL|^The above exception was|\Z)", re.MULTILINE | re.DOTALL
)


def redact(text: str) -> str:
    """Takes e-mail addresses, keys and quoted rows out of a text such as an error's."""
    return API_KEY_PATTERN.sub("[key]", _EMAIL.sub("[e-mail]", _DETAIL.sub("[row]\n", text)))


# What callers choose, in a request's line or in its head, which may be long.
_CALLERS = ("method", "path", "x_request_id")
_MOST_CHARACTERS = 200


# Kept, because nearly every call has the name of one of a few methods.
@lru_cache(maxsize=128)
def _bounded(text: str) -> str:
    """Redacts and cuts a caller's text, in this order: half a key would not be recognised."""
    shown = redact(text)
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[:_MOST_CHARACTERS]}… ({len(text)} characters)"


# Processes may share a pipe, which mixes up what is written to it in larger pieces (Linux: PIPE_BUF).
_PIECE_CHARACTERS = 4096
_SOON_SECONDS = 0.05
_MOST_WAITING = 10_000
# What a library warns of may be a caller's doing: so many lines a second from one place in its code.
_LIBRARY_LINES = 10

_process = ""


def name_process(name: str) -> None:
    """Says on every line from now on which process it comes from."""
    global _process  # noqa: PLW0603  # a process has one name
    _process = name


# Kept: `json.dumps` would make one for every line.
_to_json = JSONEncoder(default=repr).encode
# What a value for people is put in quotes for.
_AMBIGUOUS = re.compile(r'[\s"=\\]')


def _to_text(event: dict[str, Any]) -> str:
    """Writes an event for people: when, how grave, what, the fields, and an exception indented below.

    Callers choose some of it, such as a method's name; they must not be able to make up a field or a line.
    """
    line = [event.pop("timestamp"), f"[{event.pop('level')}]", visible(event.pop("event"))]
    below = event.pop("exception", "").rstrip()
    line += [f"{name}={_field(str(value))}" for name, value in event.items()]
    return "\n".join([" ".join(line), *(f"  {visible(each)}" for each in (below.split("\n") if below else ()))])


def _field(value: str) -> str:
    return visible(dumps(value, ensure_ascii=False) if _AMBIGUOUS.search(value) else value)


class Lines:
    """Writes events to a stream.

    Args:
        stream: where they go.
        json: one JSON object a line; otherwise for people.
    """

    def __init__(self, stream: TextIO, *, json: bool) -> None:
        self._stream = stream
        self._to_line = _to_json if json else _to_text
        # Reentrant: a library may warn of something while a line is written.
        self._turn = threading.RLock()
        self._waiting: deque[tuple[str, dict[str, Any], float]] = deque()
        self._wanted = threading.Event()
        self._writer: threading.Thread | None = None

    def write(self, event: str, level: str, fields: dict[str, Any]) -> None:
        """Writes an event, behind those that wait."""
        line = self._line(event, level, fields, time.time())
        with self._turn:
            self.flush()
            self._put(line)

    def write_soon(self, event: str, fields: dict[str, Any], at: float) -> None:
        """Has an event written within moments, by a thread, together with what else there is by then."""
        self._waiting.append((event, fields, at))
        if not self._wanted.is_set():
            self._wanted.set()
            self._begin_writing()
        elif len(self._waiting) > _MOST_WAITING:  # the stream is slow, and must not fill the memory
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        with self._turn:
            lines = ""
            while self._waiting:
                event, fields, at = self._waiting.popleft()
                line = self._line(event, "info", fields, at)
                if lines and len(lines) + len(line) > _PIECE_CHARACTERS:
                    self._put(lines)
                    lines = ""
                lines += line
            if lines:
                self._put(lines)

    def _begin_writing(self) -> None:
        if self._writer is not None:
            return  # without waiting for what it is writing
        with self._turn:
            if self._writer is None:
                writer = threading.Thread(target=self._keep_writing, name="log", daemon=True)
                writer.start()
                self._writer = writer
                atexit.register(self.flush)

    def _keep_writing(self) -> None:
        while self._wanted.wait():
            time.sleep(_SOON_SECONDS)
            # In this order: what comes in between is written now, and what comes behind asks again.
            self._wanted.clear()
            self.flush()

    def _line(self, event: str, level: str, fields: dict[str, Any], at: float) -> str:
        try:
            if fields.get("exception"):
                fields["exception"] = redact(fields["exception"])
            for name in _CALLERS:
                if fields.get(name):
                    fields[name] = _bounded(fields[name])
            fields["event"], fields["level"] = event, level
            if _process:
                fields["process"] = _process
            fields["timestamp"] = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            return self._to_line(fields) + "\n"
        except Exception as error:  # noqa: BLE001  # whatever it is, neither the call nor other lines suffer
            # Not what it says: that may quote the event.
            return self._line("event not written", "error", {"name": event, "reason": type(error).__name__}, at)

    def _put(self, lines: str) -> None:
        try:
            self._stream.write(lines)
            self._stream.flush()
        except (OSError, ValueError):
            pass  # a full disk under the log must not turn what a call has done into an error


class _Handler(logging.Handler):
    """Writes what libraries warn of among the service's own events."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines
        self._formatter = logging.Formatter()
        self._limits = LogLimits(_LIBRARY_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one event. What a library says may quote anything."""
        cause = record.exc_info[0] if record.exc_info else None
        left_out = self._limits.admit((record.pathname, record.lineno, record.levelno, cause))
        if left_out is None:
            return
        try:
            fields: dict[str, Any] = {"left_out": left_out} if left_out else {}
            if record.exc_info:
                fields["exception"] = self._formatter.formatException(record.exc_info)
            self._lines.write(redact(record.getMessage()), record.levelname.lower(), fields)
        except Exception:  # noqa: BLE001  # as logging's own handlers do: the library goes on
            self.handleError(record)


def log_threads() -> None:
    """Has the log say what ends a thread, instead of a traceback between its lines."""

    def failed(thread: threading.ExceptHookArgs) -> None:
        if thread.exc_value is not None:
            name = thread.thread.name if thread.thread is not None else None
            log.error("thread failed", name=name, exception="".join(traceback.format_exception(thread.exc_value)))

    threading.excepthook = failed


def configure(stream: TextIO | None = None, *, json: bool | None = None) -> Lines:
    """Sets the log up, for this service's events and for the libraries' warnings. Gives what writes it.

    Args:
        stream: where it goes; standard error unless told.
        json: one JSON object a line; if not told, unless the stream is a terminal.
    """
    stream = stream or sys.stderr
    lines = Lines(stream, json=not stream.isatty() if json is None else json)
    log.write_to(lines)
    logging.basicConfig(handlers=[_Handler(lines)], level=logging.WARNING, force=True)
    return lines
