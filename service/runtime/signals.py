"""Signals for the main thread, which reads them in its own time: none is lost, and none interrupts other work."""

import select
import signal
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self

HANGUP = getattr(signal, "SIGHUP", None)
"""Asks a server to read its files again; some systems do not have it."""


def ignore_hangup() -> None:
    """Keeps SIGHUP from ending the process."""
    if HANGUP is not None:
        signal.signal(HANGUP, signal.SIG_IGN)


class Signals:
    """Takes signals over, from its making until its end.

    A thread that waits for a lock is not woken by a signal that the system hands to another thread of the process. So
    the main thread waits for a socket, to which Python's handler writes the number in whichever thread that runs.
    """

    def __init__(self, *numbers: int | None) -> None:
        self._numbers = [number for number in numbers if number is not None]
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._before_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            signal.signal(number, _note)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number in self._numbers:
            # At its end Python gives signals that have a handler their usual effect back.
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(self._before_fd)
        self._reader.close()
        self._writer.close()

    def __iter__(self) -> Iterator[int]:
        """Waits for signals and gives their numbers, those that came earlier first."""
        while True:
            select.select([self._reader], [], [])
            yield self._reader.recv(1)[0]


def _note(_number: int, _frame: object) -> None:
    """Does nothing: what counts is the byte on the socket."""
