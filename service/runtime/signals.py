"""Signals that the main thread reads from a socket: none is lost, and none interrupts other work."""

import select
import signal
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self

HANGUP = getattr(signal, "SIGHUP", None)
"""The number of SIGHUP, on which a server reads its files again; None on systems without it."""


def ignore_hangup() -> None:
    """Keeps SIGHUP from ending the process."""
    if HANGUP is not None:
        signal.signal(HANGUP, signal.SIG_IGN)


class Signals:
    """Handles signals while it is open.

    A thread that waits for a lock is not woken by a signal that the system hands to another thread of the process. So
    the main thread waits for a socket, to which Python's handler writes the number, whatever thread it runs in.
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
            # When Python ends, signals with a handler get their default effect again.
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(self._before_fd)
        self._reader.close()
        self._writer.close()

    def __iter__(self) -> Iterator[int]:
        """Waits for signals and yields their numbers, in the order in which they came."""
        while True:
            select.select([self._reader], [], [])
            yield self._reader.recv(1)[0]


def _note(_number: int, _frame: object) -> None:
    """Does nothing: Python has written the number to the socket."""
