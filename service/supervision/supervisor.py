"""Keeps processes alive, lets them speak as one, and stops them in order. It has no threads, because it forks."""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from service.runtime import log
from service.runtime.operator_error import OperatorError
from service.supervision.process import SIGNALS, Child, Process

_TRIES = 5
_LOOK_SECONDS = 1.0


class CannotServe(OperatorError):
    """The processes die before they serve; the text says which, and where to look."""


class Supervisor:
    """Several processes.

    Args:
        children: what they do.
        stop_seconds: how long each may take to stop when it is asked to; then it is killed.
        heart_seconds: how long a process may be silent; then it is taken to hang, killed and started again.
        let_go: closes, in each new process, what the supervisor alone has open.
        all_serve: is told once, when all serve for the first time.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        stop_seconds: float,
        heart_seconds: float = 30.0,
        let_go: Callable[[], None] = lambda: None,
        all_serve: Callable[[], None] = lambda: None,
    ) -> None:
        self._processes = [Process(child) for child in children]
        self._stop_seconds = stop_seconds
        self._heart_seconds = heart_seconds
        self._let_go = let_go
        self._all_serve: Callable[[], None] | None = all_serve
        self._healthy = False
        self._stopping = False
        self._hung_up = False
        self._in_order = True
        self._failed: Process | None = None

    def run(self) -> bool:
        """Keeps the processes alive until SIGTERM or SIGINT, then stops them.

        Returns:
            Whether all stopped by themselves.

        Raises:
            CannotServe: a process died again and again before it served, and no other serves; all are stopped.
        """
        with _signals(self._asked, self._hang_up) as (bell, self._bell):
            while True:
                if self._stopping:
                    self._stop()
                    if not self._living:
                        break
                else:
                    self._start()
                self._tell()
                self._pass_on()
                self._wait(bell)
                for process in self._living:
                    process.listen()
                self._bury()
                self._check_hearts()
        if self._failed is not None:
            name = self._failed.child.name
            raise CannotServe(f"{name} died {self._failed.failures} times before it served; the log says why")
        return self._in_order

    @property
    def _living(self) -> list[Process]:
        return [process for process in self._processes if process.pid]

    def _asked(self) -> None:
        self._stopping = True

    def _hang_up(self) -> None:
        self._hung_up = True

    def _pass_on(self) -> None:
        """Sends the processes the SIGHUP that came."""
        if self._hung_up:
            self._hung_up = False
            for process in self._living:
                process.send(signal.SIGHUP)

    def _start(self) -> None:
        for process in self._processes:
            if not process.pid and time.monotonic() >= process.start_at:
                process.start(self._stop_seconds, self._close_inherited)

    def _close_inherited(self) -> None:
        """Closes the supervisor's ends: as long as any process holds one, nobody would notice the supervisor's end."""
        for process in self._processes:
            process.close_line()
        for end in self._bell:
            end.close()
        self._let_go()

    def _tell(self) -> None:
        # A front is a client of the others: they serve without it.
        healthy = not self._stopping and all(process.serving for process in self._processes if not process.child.front)
        if healthy != self._healthy:
            self._healthy = healthy
            for process in self._living:
                if process.line is not None:
                    process.line.say(serving=healthy)
        if self._all_serve is not None and healthy and all(process.serving for process in self._processes):
            self._all_serve()
            self._all_serve = None

    def _wait(self, bell: socket.socket) -> None:
        """Sleeps until a signal comes, a process says something, or something is due."""
        now = time.monotonic()
        due = [process.start_at for process in self._processes if not process.pid and not self._stopping]
        due += [process.kill_at for process in self._living if process.kill_at is not None]
        ears: list[Any] = [bell, *(p.line for p in self._living if p.line is not None)]
        seconds = max(0.0, min([_LOOK_SECONDS, *(at - now for at in due)]))
        if bell in select.select(ears, [], [], seconds)[0]:
            bell.recv(4096)

    def _bury(self) -> None:
        """Takes notice of each process that ended, of strangers too: a container's first process inherits those."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for process in self._living:
                if process.pid == pid:
                    self._ended(process, os.waitstatus_to_exitcode(status))

    def _ended(self, process: Process, code: int) -> None:
        was_ready = process.ready
        process.ended(code, wanted=self._stopping)
        if self._stopping:
            # One that has not served yet may not have learnt to stop, and has nothing to finish.
            self._in_order &= code == 0 or not was_ready
        elif not was_ready and process.failures >= _TRIES and not self._any_serves:
            self._failed = process
            self._stopping = True

    @property
    def _any_serves(self) -> bool:
        """Whether any process but a front does, which is there whatever becomes of those behind it."""
        return any(process.ready and not process.child.front for process in self._living)

    def _check_hearts(self) -> None:
        now = time.monotonic()
        for process in self._living:
            if not self._stopping and now > process.heard_at + self._heart_seconds:
                log.error("process hangs", name=process.child.name, pid=process.pid, seconds=self._heart_seconds)
                process.send(signal.SIGKILL)
                process.heard_at = now

    def _stop(self) -> None:
        """Asks those whose turn it is to stop, and kills those that have not in time."""
        now = time.monotonic()
        living = self._living
        for process in [process for process in living if process.child.front] or living:
            if process.kill_at is None:
                process.kill_at = now + self._stop_seconds
                process.send(signal.SIGTERM)
            elif now > process.kill_at:
                log.error("process does not stop", name=process.child.name, seconds=self._stop_seconds)
                process.send(signal.SIGKILL)
                process.kill_at = now + _LOOK_SECONDS
                self._in_order = False


@contextmanager
def _signals(
    asked: Callable[[], None], hang_up: Callable[[], None]
) -> Iterator[tuple[socket.socket, tuple[socket.socket, socket.socket]]]:
    """Takes the signals over: SIGTERM and SIGINT ask, and each, SIGCHLD too, rings a bell that `select` hears.

    Those that ask are ignored afterwards: all has ended by then, and the exit code is to say how.
    """
    bell, rope = socket.socketpair()
    bell.setblocking(False)
    rope.setblocking(False)
    handlers = {signal.SIGCHLD: lambda: None, signal.SIGHUP: hang_up}
    for number in SIGNALS:
        signal.signal(number, lambda number, _: handlers.get(number, asked)())  # type: ignore[call-overload]  # a number is one of them
    fd = signal.set_wakeup_fd(rope.fileno(), warn_on_full_buffer=False)
    try:
        yield bell, (bell, rope)
    finally:
        signal.set_wakeup_fd(fd)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
        bell.close()
        rope.close()
