"""CPUs for workers: one each, where they do not have to share.

The threads of a Python process take turns. On several CPUs each turn wakes another CPU, which costs more than most of
what is done in a turn; on one it costs next to nothing.
"""

import os

from service.domain.errors import OperatorError


class NoCpus(OperatorError):
    """There are not so many CPUs, or this system does not hold processes to them; the text says what to do."""


def deal(workers: int) -> list[int]:
    """Gives each of so many workers one of the CPUs that this process may use.

    Raises:
        NoCpus: there are fewer of them, or the system cannot.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise NoCpus("this system does not hold processes to CPUs: leave --cpu-affinity out")
    usable = sorted(os.sched_getaffinity(0))
    if workers > len(usable):
        raise NoCpus(
            f"{workers} workers cannot have a CPU each, because this process may use {len(usable)}:"
            " give --workers fewer, or leave --cpu-affinity out"
        )
    return usable[:workers]


def hold(cpu: int) -> None:
    """Keeps this process on a CPU. Before it starts threads: each has an affinity of its own, its starter's."""
    os.sched_setaffinity(0, {cpu})
