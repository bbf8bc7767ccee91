"""Keeps the threads of a process together on one CPU, and moves all of them to where the system has room.

The threads of a Python process take turns. On several CPUs each turn wakes another CPU, which costs more than most of
what is done in a turn; on one it costs next to nothing. Which one is left to the system: a thread that it may put
anywhere sleeps, and where it wakes up there is room.
"""

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Whoever holds on to the CPU of another process leaves it soon. Not in step with others, or they would move together.
_SECONDS = (0.5, 1.5)
_HERE = Path("/proc/thread-self/stat")
_TASKS = Path("/proc/self/task")


@contextmanager
def together() -> Iterator[None]:
    """Keeps the threads of this process together while the block runs, those that start meanwhile too.

    Of the CPUs that the process may use, they move within a second or two to one that is less busy. Needs Linux; does
    nothing on other systems.
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
        # No file can be opened, perhaps because callers have all that a process may: next time. Who gave up would hold
        # on to a CPU for good.
        with suppress(OSError):
            _move({_here()})
        if over.wait(random.uniform(*_SECONDS)):  # noqa: S311  # no secret
            break
    _move(os.sched_getaffinity(0))


def _here() -> int:
    """Gives the CPU on which this thread runs: the 39th field, the 37th behind the name (proc_pid_stat(5))."""
    return int(_HERE.read_text().rpartition(")")[2].split()[36])


def _move(cpus: set[int]) -> None:
    """Keeps all other threads to these CPUs."""
    own = threading.get_native_id()
    for task in _TASKS.iterdir():
        if int(task.name) != own:
            # It has ended meanwhile; or the CPU has just been taken from the process, so it is elsewhere next time.
            with suppress(OSError):
                os.sched_setaffinity(int(task.name), cpus)
