"""One of the processes under a supervisor: how it is born, and what is known of it."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from service.runtime import log, log_lines
from service.supervision.link import Line, LineClosed, Link

# What a supervisor listens to, and its children must not until they are ready for it.
# A system without all of them has no supervisor, but may load this.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD") if hasattr(signal, name))

# One that lived for so long did not die of its start.
_STEADY_SECONDS = 10.0
# By how often in a row it has died of its start.
_DELAYS_SECONDS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0)


@dataclass(frozen=True, slots=True)
class Child:
    """What a process is to do.

    Attributes:
        name: for the log.
        run: does it, in the process's main thread, and returns when SIGTERM has asked it to. It gets SIGTERM for an
            end in order, and SIGINT never: on a terminal, Ctrl-C would reach it before the supervisor says so.
        front: it calls the others, so they are stopped after it, when it is gone.
    """

    name: str
    run: Callable[[Link], None]
    front: bool = False


class Process:
    """A child, alive or dead."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.pid = 0
        self.serving = False
        self.ready = False
        """Whether it has served since its start."""
        self.failures = 0
        """How often in a row it died soon after its start."""
        self.start_at = 0.0
        self.heard_at = 0.0
        self.kill_at: float | None = None
        """When its time to stop is over, if it has been asked to."""
        self.line: Line | None = None

    def start(self, stop_seconds: float, let_go: Callable[[], None]) -> None:
        """Forks; or, where the system cannot just now, puts it off.

        Args:
            stop_seconds: how long it may take to stop by itself when the supervisor is gone.
            let_go: closes, in the new process, what is the supervisor's alone.
        """
        try:
            self._fork(stop_seconds, let_go)
        except OSError as error:
            delay = self._put_off(failed=True)
            log.error("process not started", name=self.child.name, reason=error.strerror, again_in_seconds=delay)
        else:
            log.info("process started", name=self.child.name, pid=self.pid)

    def _fork(self, stop_seconds: float, let_go: Callable[[], None]) -> None:
        ours, theirs = (Line(end) for end in socket.socketpair())
        # What is not written yet would be written by both.
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that comes now must not be taken by what the new process has inherited, and be lost.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                _live(self.child, Link(theirs, stop_seconds), before, (ours.close, let_go))
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        self.pid, self.line, self.kill_at = pid, ours, None
        self.serving = self.ready = False
        self.start_at = self.heard_at = time.monotonic()

    def _put_off(self, *, failed: bool) -> float:
        """Says when to start again: later and later, as long as that fails. Gives the seconds until then."""
        self.failures = self.failures + 1 if failed else 0
        delay = _DELAYS_SECONDS[min(self.failures, len(_DELAYS_SECONDS) - 1)]
        self.start_at = time.monotonic() + delay
        return delay

    def listen(self) -> None:
        """Hears what the process has said, if anything."""
        if self.line is None:
            return
        try:
            said = self.line.hear()
        except LineClosed:
            # It is ending, which the system will tell.
            self.serving = False
            self.close_line()
            return
        if said is not None:
            self.heard_at = time.monotonic()
            self.serving = said
            self.ready |= said

    def ended(self, code: int, *, wanted: bool) -> None:
        """Notes its end, and when to start it again."""
        delay = self._put_off(failed=time.monotonic() < self.start_at + _STEADY_SECONDS)
        self.pid, self.serving = 0, False
        self.close_line()
        how = {"signal": signal.Signals(-code).name} if code < 0 else {"exit_code": code}
        if wanted:
            log.info("process stopped", name=self.child.name, **how)
        else:
            log.error("process died", name=self.child.name, again_in_seconds=delay, **how)

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal. It is there: the system keeps the number until `ended`."""
        os.kill(self.pid, number)

    def close_line(self) -> None:
        """Lets go of the line."""
        if self.line is not None:
            self.line.close()
            self.line = None


def _live(child: Child, link: Link, mask: Iterable[int], closing: Iterable[Callable[[], None]]) -> NoReturn:
    """Does what the child is to do and ends the process; nothing gets from here into the supervisor's frames."""
    code = 1
    try:
        for close in closing:
            close()
        signal.set_wakeup_fd(-1)
        # One that does not listen to SIGHUP must not end by it.
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        log_lines.name_process(child.name)
        child.run(link)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  # whatever it is, it ends here
        log.exception("process failed")
    finally:
        try:
            log.flush()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
