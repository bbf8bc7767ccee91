"""Chooses how many workers serve, where the operator has not."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Means:
    """What workers need, and how much of it there is.

    Attributes:
        cpus: the CPUs that the process may run on. A Python process hardly uses more than one.
        cpu_quota: how many seconds of CPU time a second it may use; None is no limit.
        connections: how many connections the database allows; None is one that one process serves best.
        connections_of_a_worker: how many of these a worker takes at most.
    """

    cpus: int
    cpu_quota: float | None
    connections: int | None
    connections_of_a_worker: int

    def choose(self) -> tuple[int, str]:
        """Returns the largest number of workers that all limits allow, one at least, and which limit decided it."""
        if self.connections is None:
            return 1, "kind of database"
        limits = {
            "CPUs allowed": self.cpus,
            "CPU quota": self.cpus if self.cpu_quota is None else math.ceil(self.cpu_quota),
            "connections to the database": self.connections // self.connections_of_a_worker,
        }
        decided_by = min(limits, key=lambda name: limits[name])
        return max(1, limits[decided_by]), decided_by
