"""CPUs for workers: one each, where they do not have to share.

The threads of a Python process take turns. On several CPUs each turn wakes another CPU, which costs more than most of
what is done in a turn; on one it costs next to nothing.
"""

import os

from service import log
from service.domain.errors import OperatorError


class NoCpus(OperatorError):
    """There are not so many CPUs, or this system does not hold processes to them; the text says what to do."""


def check(workers: int) -> None:
    """Sees whether each of so many workers can have a CPU.

    Raises:
        NoCpus: there are fewer that this process may use, or the system cannot.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise NoCpus("this system does not hold processes to CPUs: leave --cpu-affinity out")
    usable = len(os.sched_getaffinity(0))
    if workers > usable:
        raise NoCpus(
            f"{workers} workers cannot have a CPU each, because this process may use {usable}:"
            " give --workers fewer, or leave --cpu-affinity out"
        )


def hold(worker: int) -> None:
    """Keeps this process on the CPU of a worker of this number, counted from 0.

    To be called before it starts threads: each has an affinity of its own, its starter's. If there is no such CPU any
    more, because those that may be used have become others since the start, it warns and lets the system choose.
    """
    usable = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, {usable[worker]})
    except (IndexError, OSError):
        log.warning("no CPU of its own for a worker", usable=usable)
