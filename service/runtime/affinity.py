"""Keeps the threads of a process on one CPU, and moves them together to a CPU that is less busy.

One thread of a Python process runs at a time. On several CPUs each switch between threads wakes another CPU, which
costs more than most of what a thread does until the next switch; on one CPU a switch costs little. The scheduler
chooses the CPU: one thread has no affinity, so it wakes up on a CPU that is free.

With 64 lookups in flight it brought half as many again: the figures are in docs/decisions/cpu-affinity.md. To measure
it again, run `make bench` with and without the setting `CPU_AFFINITY`. To do without it, set that to false.
"""

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A process soon leaves a CPU that another one uses. At random, so that two processes do not move at the same time.
_SECONDS = (0.5, 1.5)
_HERE = Path("/proc/thread-self/stat")
_TASKS = Path("/proc/self/task")


@contextmanager
def together() -> Iterator[None]:
    """Keeps the threads of this process on one CPU while the block runs, also those that start in it.

    They move within a second or two to a CPU that is less busy, of those that the process may use. Does nothing on
    systems other than Linux.
    """
    if not (hasattr(os, "sched_setaffinity") and _HERE.exists()):
        yield
        return
    over = threading.Event()
    scout = threading.Thread(target=_lead, args=(over,), name="affinity", daemon=True)
    scout.start()
    try:
        yield
    finally:
        over.set()
        scout.join()


def _lead(over: threading.Event) -> None:
    while True:
        # A file cannot be opened where connections use all descriptors. It is tried again: to give up would keep the
        # threads on this CPU for good.
        with suppress(OSError):
            _move({_here()})
        if over.wait(random.uniform(*_SECONDS)):  # noqa: S311  # no secret
            break
    _move(os.sched_getaffinity(0))


def _here() -> int:
    """Returns the CPU on which this thread runs: field 39, the 37th after the name (proc_pid_stat(5))."""
    return int(_HERE.read_text().rpartition(")")[2].split()[36])


def _move(cpus: set[int]) -> None:
    """Sets the affinity of all other threads to these CPUs."""
    own = threading.get_native_id()
    for task in _TASKS.iterdir():
        if int(task.name) != own:
            # The thread may have ended, or the CPU may have been taken from the process: it is tried again.
            with suppress(OSError):
                os.sched_setaffinity(int(task.name), cpus)
