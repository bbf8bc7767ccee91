"""The line between the supervisor and one of its processes: who lives, and who serves."""

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

BEAT_SECONDS = 1.0
_SERVING, _NOT_SERVING = b"S", b"N"
# Of what lies there unread, only the last counts.
_ALL_OF_IT = 4096


class LineClosed(Exception):
    """Nobody holds the other end any more."""


class Line:
    """One end, on which each side says whether it serves. Neither ever waits for the other to listen."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)

    def fileno(self) -> int:
        """Lets `select` wait for it."""
        return self._end.fileno()

    def say(self, *, serving: bool) -> None:
        """Tells the other side."""
        # It may not have listened for long, so that no more fits; or be gone, which `hear` finds out.
        with suppress(OSError):
            self._end.send(_SERVING if serving else _NOT_SERVING)

    def hear(self, seconds: float = 0) -> bool | None:
        """Waits for so long, and gives what the other side said last; None if it said nothing.

        Raises:
            LineClosed: there is no other side.
        """
        if not select.select([self._end], [], [], seconds)[0]:
            return None
        try:
            said = self._end.recv(_ALL_OF_IT)
        except OSError as error:
            raise LineClosed from error
        if not said:
            raise LineClosed
        return said.endswith(_SERVING)

    def close(self) -> None:
        """Lets go of this end."""
        self._end.close()


class Link:
    """What a process does with its end of the line.

    Args:
        line: the end.
        stop_seconds: how long the process may take to stop by itself when the supervisor is gone.
    """

    def __init__(self, line: Line, stop_seconds: float) -> None:
        self._line = line
        self._stop_seconds = stop_seconds
        self._serving = False
        # So that an older word never comes after a newer one.
        self._speaking = threading.Lock()

    def tell(self, serving: bool) -> None:  # noqa: FBT001  # a state, not an option
        """Tells the supervisor whether this process serves."""
        with self._speaking:
            self._serving = serving
            self._line.say(serving=serving)

    def follow(self, heard: Callable[[bool], None]) -> None:
        """Starts a thread that lets the supervisor hear this process's heart.

        Without a supervisor the process gets SIGTERM, as it would from the supervisor, and is killed if that does not
        end it in time.

        Args:
            heard: is told, in that thread, whether all processes serve; as long as it is told nothing, they do not.
        """
        threading.Thread(target=self._beat, args=(heard,), name="link", daemon=True).start()

    def _beat(self, heard: Callable[[bool], None]) -> None:
        try:
            while True:
                with self._speaking:
                    self._line.say(serving=self._serving)
                if (all_serve := self._line.hear(BEAT_SECONDS)) is not None:
                    heard(all_serve)
        except LineClosed:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(self._stop_seconds)
            os.kill(os.getpid(), signal.SIGKILL)
