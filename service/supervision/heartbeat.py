"""Heartbeats between the supervisor and a process: each sends whether it serves, and notices when the other ends.

Each side has one end of a socket pair. The end of a process closes its end, so a supervisor that was killed is noticed.
"""

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

INTERVAL_SECONDS = 1.0
_SERVING, _NOT_SERVING = b"S", b"N"
# Of several heartbeats that have not been read, only the last one counts.
_READ_BYTES = 4096


class PeerClosed(Exception):
    """No process has the other end open any more."""


class Heartbeats:
    """One end of the socket pair. Neither side waits for the other to read.

    Args:
        end: the socket.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)

    def fileno(self) -> int:
        """Returns the file descriptor, for `select`."""
        return self._end.fileno()

    def send(self, *, serving: bool) -> None:
        """Sends a heartbeat, with whether the sender serves."""
        # The buffer may be full, because the other side has not read for long; or the other side has ended, which
        # `receive` finds out.
        with suppress(OSError):
            self._end.send(_SERVING if serving else _NOT_SERVING)

    def receive(self, seconds: float = 0) -> bool | None:
        """Waits for a heartbeat.

        Args:
            seconds: how long to wait.

        Returns:
            Whether the other side serves, by its last heartbeat; None if none has come.

        Raises:
            PeerClosed: the other side has ended.
        """
        if not select.select([self._end], [], [], seconds)[0]:
            return None
        try:
            received = self._end.recv(_READ_BYTES)
        except OSError as error:
            raise PeerClosed from error
        if not received:
            raise PeerClosed
        return received.endswith(_SERVING)

    def close(self) -> None:
        """Closes this end."""
        self._end.close()


class Link:
    """A supervised process's side.

    Args:
        heartbeats: its end of the socket pair.
        stop_seconds: how long the process may take to stop by itself when the supervisor has ended.
    """

    def __init__(self, heartbeats: Heartbeats, stop_seconds: float) -> None:
        self._heartbeats = heartbeats
        self._stop_seconds = stop_seconds
        self._serving = False
        # Keeps an older state from being sent after a newer one.
        self._sending = threading.Lock()

    def report(self, serving: bool) -> None:  # noqa: FBT001  # a state, not an option
        """Reports to the supervisor whether this process serves."""
        with self._sending:
            self._serving = serving
            self._heartbeats.send(serving=serving)

    def start(self, on_state: Callable[[bool], None]) -> None:
        """Starts the thread that sends a heartbeat every second.

        When the supervisor has ended, the process gets SIGTERM, as it would from the supervisor, and SIGKILL if that
        does not end it in time.

        Args:
            on_state: is called in that thread with whether all processes serve, when the supervisor has sent it. Until
                then they do not.
        """
        threading.Thread(target=self._run, args=(on_state,), name="heartbeat", daemon=True).start()

    def _run(self, on_state: Callable[[bool], None]) -> None:
        try:
            while True:
                with self._sending:
                    self._heartbeats.send(serving=self._serving)
                if (all_serve := self._heartbeats.receive(INTERVAL_SECONDS)) is not None:
                    on_state(all_serve)
        except PeerClosed:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(self._stop_seconds)
            os.kill(os.getpid(), signal.SIGKILL)
