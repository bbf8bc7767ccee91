"""Keeps several processes running, combines their health, and stops them in order. It forks, so it has no threads."""

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

_MAX_FAILED_STARTS = 5
_CHECK_SECONDS = 1.0


class CannotServe(OperatorError):
    """The processes end before they serve; the text names one, and where to look."""


class Supervisor:
    """Several processes.

    Args:
        children: what they run.
        stop_seconds: how long each may take to stop when it is asked to; then it is killed.
        heartbeat_timeout_seconds: a process without a heartbeat for this long hangs: it is killed and started again.
        close_inherited: closes, in each new process, what only the supervisor is to have open.
        all_serve: is called once, when all processes serve for the first time.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        stop_seconds: float,
        heartbeat_timeout_seconds: float = 30.0,
        close_inherited: Callable[[], None] = lambda: None,
        all_serve: Callable[[], None] = lambda: None,
    ) -> None:
        self._processes = [Process(child) for child in children]
        self._stop_seconds = stop_seconds
        self._heartbeat_timeout_seconds = heartbeat_timeout_seconds
        self._close_inherited = close_inherited
        self._all_serve: Callable[[], None] | None = all_serve
        self._healthy = False
        self._stopping = False
        self._hangup = False
        self._stopped_in_time = True
        self._failed: Process | None = None

    def run(self) -> bool:
        """Keeps the processes running until SIGTERM or SIGINT, then stops them.

        Returns:
            Whether all stopped by themselves, in time.

        Raises:
            CannotServe: a process ended again and again before it served, and no other serves; all are stopped.
        """
        with _wakeup_pipe(self._on_stop, self._on_hangup) as (readable, self._wakeup_pipe):
            while True:
                if self._stopping:
                    self._stop()
                    if not self._running:
                        break
                else:
                    self._start()
                self._send_health()
                self._forward_hangup()
                self._wait(readable)
                for process in self._running:
                    process.receive()
                self._reap()
                self._check_heartbeats()
        if self._failed is not None:
            name = self._failed.child.name
            raise CannotServe(f"{name} died {self._failed.failures} times before it served; the log says why")
        return self._stopped_in_time

    @property
    def _running(self) -> list[Process]:
        return [process for process in self._processes if process.pid]

    def _on_stop(self) -> None:
        self._stopping = True

    def _on_hangup(self) -> None:
        self._hangup = True

    def _forward_hangup(self) -> None:
        """Sends SIGHUP to the processes if the supervisor has got it."""
        if self._hangup:
            self._hangup = False
            for process in self._running:
                process.send(signal.SIGHUP)

    def _start(self) -> None:
        for process in self._processes:
            if not process.pid and time.monotonic() >= process.start_at:
                process.start(self._stop_seconds, self._close_in_child)

    def _close_in_child(self) -> None:
        """Closes the supervisor's ends: while any process has one open, the supervisor's end would not be noticed."""
        for process in self._processes:
            process.close_heartbeats()
        for end in self._wakeup_pipe:
            end.close()
        self._close_inherited()

    def _send_health(self) -> None:
        # A process that calls the others is their client: they serve without it.
        serving = all(process.serving for process in self._processes if not process.child.calls_others)
        healthy = serving and not self._stopping
        if healthy != self._healthy:
            self._healthy = healthy
            for process in self._running:
                if process.heartbeats is not None:
                    process.heartbeats.send(serving=healthy)
        if self._all_serve is not None and healthy and all(process.serving for process in self._processes):
            self._all_serve()
            self._all_serve = None

    def _wait(self, readable: socket.socket) -> None:
        """Waits until a signal or a heartbeat comes, or something is due."""
        now = time.monotonic()
        due = [process.start_at for process in self._processes if not process.pid and not self._stopping]
        due += [process.kill_at for process in self._running if process.kill_at is not None]
        readers: list[Any] = [readable, *(p.heartbeats for p in self._running if p.heartbeats is not None)]
        seconds = max(0.0, min([_CHECK_SECONDS, *(at - now for at in due)]))
        if readable in select.select(readers, [], [], seconds)[0]:
            readable.recv(4096)

    def _reap(self) -> None:
        """Reaps each process that has ended, also those of others: process 1 of a container inherits orphans."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for process in self._running:
                if process.pid == pid:
                    self._ended(process, os.waitstatus_to_exitcode(status))

    def _ended(self, process: Process, code: int) -> None:
        was_ready = process.ready
        process.ended(code, wanted=self._stopping)
        if self._stopping:
            # A process that has not served yet may have no handler of SIGTERM, and has nothing to finish.
            self._stopped_in_time &= code == 0 or not was_ready
        elif not was_ready and process.failures >= _MAX_FAILED_STARTS and not self._any_serves:
            self._failed = process
            self._stopping = True

    @property
    def _any_serves(self) -> bool:
        """Whether any process serves, but for one that calls the others, which serves whatever happens to them."""
        return any(process.ready and not process.child.calls_others for process in self._running)

    def _check_heartbeats(self) -> None:
        now = time.monotonic()
        timeout = self._heartbeat_timeout_seconds
        for process in self._running:
            if not self._stopping and now > process.heartbeat_at + timeout:
                log.error("process hangs", name=process.child.name, pid=process.pid, seconds=timeout)
                process.send(signal.SIGKILL)
                process.heartbeat_at = now

    def _stop(self) -> None:
        """Asks processes to stop, first those that call the others, and kills those that have not stopped in time."""
        now = time.monotonic()
        running = self._running
        for process in [process for process in running if process.child.calls_others] or running:
            if process.kill_at is None:
                process.kill_at = now + self._stop_seconds
                process.send(signal.SIGTERM)
            elif now > process.kill_at:
                log.error("process does not stop", name=process.child.name, seconds=self._stop_seconds)
                process.send(signal.SIGKILL)
                process.kill_at = now + _CHECK_SECONDS
                self._stopped_in_time = False


@contextmanager
def _wakeup_pipe(
    on_stop: Callable[[], None], on_hangup: Callable[[], None]
) -> Iterator[tuple[socket.socket, tuple[socket.socket, socket.socket]]]:
    """Handles SIGTERM, SIGINT, SIGHUP and SIGCHLD; each also makes the returned socket readable, for `select`.

    Afterwards SIGTERM, SIGINT and SIGHUP are ignored: all processes have ended by then, and the exit code reports it.
    """
    readable, wakeup = socket.socketpair()
    readable.setblocking(False)
    wakeup.setblocking(False)
    handlers = {signal.SIGCHLD: lambda: None, signal.SIGHUP: on_hangup}
    for number in SIGNALS:
        signal.signal(number, lambda number, _: handlers.get(number, on_stop)())  # type: ignore[call-overload]  # a number is one of them
    fd = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    try:
        yield readable, (readable, wakeup)
    finally:
        signal.set_wakeup_fd(fd)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
        readable.close()
        wakeup.close()
