"""The access log: a line for each call, written by a thread, with those of a twentieth of a second together.

Written one by one in the call, the lines took a fifth of a lookup's processor time. To measure it again, have `write`
call `flush`, and run `make bench`. To do without it, have `log.access` call `log.info`.
"""

import atexit
import threading
import time
from collections import deque
from typing import Any, TextIO

from service.runtime.log_format import EventFormatter

# Several processes may share a pipe, which keeps writes of this size whole (Linux: PIPE_BUF).
_MAX_WRITE_CHARACTERS = 4096
_DELAY_SECONDS = 0.05
_MAX_WAITING = 10_000


class AccessLog:
    """Lines that wait to be written.

    Args:
        stream: where they are written.
        formatter: formats them.
        lock: is held while anything is written to the stream.
    """

    def __init__(self, stream: TextIO, formatter: EventFormatter, lock: threading.RLock) -> None:
        self._stream = stream
        self._formatter = formatter
        self._lock = lock
        self._waiting: deque[tuple[str, dict[str, Any], float]] = deque()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def write(self, event: str, fields: dict[str, Any]) -> None:
        """Has a line written by the thread, within about `_DELAY_SECONDS`."""
        self._waiting.append((event, fields, time.time()))
        if not self._wanted.is_set():
            self._wanted.set()
            self._start()
        elif len(self._waiting) > _MAX_WAITING:  # the stream is slow, and memory is limited
            self.flush()

    def flush(self) -> None:
        """Writes the lines that wait."""
        with self._lock:
            lines = ""
            while self._waiting:
                event, fields, at = self._waiting.popleft()
                line = self._formatter.line(event, "info", fields, at) + "\n"
                if lines and len(lines) + len(line) > _MAX_WRITE_CHARACTERS:
                    write(self._stream, lines)
                    lines = ""
                lines += line
            if lines:
                write(self._stream, lines)

    def _start(self) -> None:
        if self._thread is not None:
            return  # without the lock, which the thread holds while it writes
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="access-log", daemon=True)
                thread.start()
                self._thread = thread
                atexit.register(self.flush)

    def _run(self) -> None:
        while self._wanted.wait():
            time.sleep(_DELAY_SECONDS)
            # Cleared before the flush: a line that comes in between is written now, and a later one sets it again.
            self._wanted.clear()
            self.flush()


def write(stream: TextIO, lines: str) -> None:
    """Writes lines. A full disk under the log must not turn a call that was done into an error."""
    try:
        stream.write(lines)
        stream.flush()
    except (OSError, ValueError):
        pass
