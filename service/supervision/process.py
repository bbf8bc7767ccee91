"""One process under a supervisor: how it is forked, and its state."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from service.runtime import log
from service.supervision.heartbeat import Heartbeats, Link, PeerClosed

# The supervisor handles these. A new process must not take them before it has handlers of its own.
# A system without all of them has no supervisor, but imports this module.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD") if hasattr(signal, name))

# A process that ran for this long did not end because of its start.
_STEADY_SECONDS = 10.0
# The delay before a start, by how many starts in a row have failed.
_DELAYS_SECONDS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0)


@dataclass(frozen=True, slots=True)
class Child:
    """What a process runs.

    Attributes:
        name: for the log.
        run: runs in the process's main thread, and returns when SIGTERM has asked it to. The process ignores SIGINT: on
            a terminal, Ctrl-C reaches it at the same time as the supervisor, which then sends SIGTERM.
        calls_others: whether it is a client of the other processes, and so is stopped before them.
    """

    name: str
    run: Callable[[Link], None]
    calls_others: bool = False


class Process:
    """The process of a child, or the plan to start it.

    Attributes:
        pid: its id; 0 while it does not run.
        serving: whether it serves, by its last heartbeat.
        ready: whether it has served since its start.
        failures: how many times in a row it ended soon after its start.
        start_at: when it was started, or is to be.
        heartbeat_at: when its last heartbeat came.
        kill_at: when it is killed, if it has been asked to stop.
        heartbeats: the supervisor's end of its socket pair.
    """

    def __init__(self, child: Child) -> None:
        self.child = child
        self.pid = 0
        self.serving = False
        self.ready = False
        self.failures = 0
        self.start_at = 0.0
        self.heartbeat_at = 0.0
        self.kill_at: float | None = None
        self.heartbeats: Heartbeats | None = None

    def start(self, stop_seconds: float, close_inherited: Callable[[], None]) -> None:
        """Forks. Where the system cannot fork now, the start is delayed.

        Args:
            stop_seconds: how long the process may take to stop by itself when the supervisor has ended.
            close_inherited: closes, in the new process, what only the supervisor is to have open.
        """
        try:
            self._fork(stop_seconds, close_inherited)
        except OSError as error:
            delay = self._delay_start(failed=True)
            log.error("process not started", name=self.child.name, reason=error.strerror, again_in_seconds=delay)
        else:
            log.info("process started", name=self.child.name, pid=self.pid)

    def _fork(self, stop_seconds: float, close_inherited: Callable[[], None]) -> None:
        ours, theirs = (Heartbeats(end) for end in socket.socketpair())
        # Buffered output would be written by both processes.
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that comes now would be taken by the inherited handlers, and lost.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                _run_child(self.child, Link(theirs, stop_seconds), before, (ours.close, close_inherited))
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        self.pid, self.heartbeats, self.kill_at = pid, ours, None
        self.serving = self.ready = False
        self.start_at = self.heartbeat_at = time.monotonic()

    def _delay_start(self, *, failed: bool) -> float:
        """Sets when to start again: later with each failure in a row. Returns the delay in seconds."""
        self.failures = self.failures + 1 if failed else 0
        delay = _DELAYS_SECONDS[min(self.failures, len(_DELAYS_SECONDS) - 1)]
        self.start_at = time.monotonic() + delay
        return delay

    def receive(self) -> None:
        """Reads the process's heartbeats, if there are any."""
        if self.heartbeats is None:
            return
        try:
            serving = self.heartbeats.receive()
        except PeerClosed:
            # The process is ending. SIGCHLD follows.
            self.serving = False
            self.close_heartbeats()
            return
        if serving is not None:
            self.heartbeat_at = time.monotonic()
            self.serving = serving
            self.ready |= serving

    def ended(self, code: int, *, wanted: bool) -> None:
        """Notes that the process has ended, and sets when to start it again.

        Args:
            code: its exit code; -N if signal N ended it.
            wanted: whether it was asked to stop.
        """
        delay = self._delay_start(failed=time.monotonic() < self.start_at + _STEADY_SECONDS)
        self.pid, self.serving = 0, False
        self.close_heartbeats()
        how = {"signal": signal.Signals(-code).name} if code < 0 else {"exit_code": code}
        if wanted:
            log.info("process stopped", name=self.child.name, **how)
        else:
            log.error("process died", name=self.child.name, again_in_seconds=delay, **how)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the process. The system keeps the id until the process has been reaped."""
        os.kill(self.pid, number)

    def close_heartbeats(self) -> None:
        """Closes the supervisor's end of the socket pair."""
        if self.heartbeats is not None:
            self.heartbeats.close()
            self.heartbeats = None


def _run_child(child: Child, link: Link, mask: Iterable[int], closing: Iterable[Callable[[], None]]) -> NoReturn:
    """Runs a child and ends the process, so that nothing returns into the supervisor's frames."""
    code = 1
    try:
        for close in closing:
            close()
        signal.set_wakeup_fd(-1)
        # A child without a handler of SIGHUP must not end by it.
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        log.name_process(child.name)
        child.run(link)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  # whatever it is, it must not reach the supervisor's frames
        log.exception("process failed")
    finally:
        try:
            log.flush()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
