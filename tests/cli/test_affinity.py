"""The threads of a worker stay on one CPU together, and leave it to whoever holds on to it."""

import os
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from service.runtime import affinity
from tests.cli.conftest import Command, Launch
from tests.grpc_server.conftest import eventually

USABLE = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()

pytestmark = pytest.mark.skipif(len(USABLE) < 2, reason="needs Linux and two CPUs to tell one from the other")


def cpus(pid: int) -> Counter[frozenset[int]]:
    """What the threads of a process may use, and how many may use that."""
    counted: Counter[frozenset[int]] = Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # a thread that has ended meanwhile
            counted[frozenset(os.sched_getaffinity(int(task.name)))] += 1
    return counted


def place(pid: int) -> int | None:
    """The CPU on which all threads of a process are but the one that may be anywhere, if there is one."""
    masks = cpus(pid)
    free = masks.pop(USABLE, 0)
    places = {cpu for mask in masks for cpu in mask}
    return places.pop() if free == len(places) == 1 else None


def found(pid: int) -> bool:
    return place(pid) is not None


@contextmanager
def busy(cpu: int) -> Iterator[None]:
    """Has a process on a CPU compute without end."""
    program = f"import os; os.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        try:
            yield
        finally:
            process.kill()


def sees_them_leave(pid: int) -> None:
    """Holds on to the CPU of a process until it is on another."""
    while (taken := place(pid)) is None:
        time.sleep(0.02)
    with busy(taken):
        eventually(lambda: place(pid) not in {taken, None})


def test_the_threads_of_each_worker_are_together(sqlite: Command, launch: Launch) -> None:
    server = launch(sqlite, "--workers", "2", "--rest-address", "127.0.0.1:0")
    for name in ("worker-1", "worker-2"):
        pid = server.processes[name]
        eventually(partial(found, pid))
        assert cpus(pid).total() > 5
    for alone in (server.process.pid, server.processes["gateway"]):
        assert set(cpus(alone)) == {USABLE}


def test_they_leave_a_cpu_to_a_process_that_holds_on_to_it(sqlite: Command, launch: Launch) -> None:
    sees_them_leave(launch(sqlite).process.pid)


def test_they_keep_to_what_the_process_may_use(sqlite: Command, launch: Launch) -> None:
    """As when `taskset --all-tasks` gives a process fewer CPUs, or a container's become fewer."""
    pid = launch(sqlite).process.pid
    eventually(partial(found, pid))
    [left, *_] = USABLE - {place(pid)}
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {left})
    eventually(lambda: set(cpus(pid)) == {frozenset({left})})
    for _ in range(6):  # longer than it takes them to move
        time.sleep(0.5)
        assert set(cpus(pid)) == {frozenset({left})}


def test_afterwards_the_system_is_free_again() -> None:
    with affinity.together():
        eventually(lambda: len(os.sched_getaffinity(0)) == 1)
    assert os.sched_getaffinity(0) == USABLE


def test_they_move_on_after_a_time_without_a_file_to_spare(sqlite: Command, launch: Launch) -> None:
    """As when callers have all the files that the process may open."""
    pid = launch(sqlite).process.pid
    eventually(partial(found, pid))
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, usual[1]))
    time.sleep(3)  # they have tried to move by then
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    assert USABLE in cpus(pid), "nobody leads them any more"
    sees_them_leave(pid)


def test_a_system_that_holds_no_thread_to_a_cpu_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity")
    with affinity.together():
        assert "affinity" not in {thread.name for thread in threading.enumerate()}


def test_with_the_setting_turned_off_every_thread_may_run_anywhere(sqlite: Command, launch: Launch) -> None:
    pid = launch(sqlite, DEVICE_ASSIGNMENT_CPU_AFFINITY="false").process.pid
    for _ in range(6):  # longer than it takes them to be moved
        time.sleep(0.5)
        assert set(cpus(pid)) == {USABLE}
