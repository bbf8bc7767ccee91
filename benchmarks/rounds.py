"""Measures one work on one database, round by round, and gives medians beside the limit."""

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median

from benchmarks import servers
from benchmarks.bare import Workers
from benchmarks.caller import Caller
from benchmarks.copies import Prepared
from benchmarks.trace import Transaction
from benchmarks.work import Work

SMALL_TARGET = 0.5
LARGE_TARGET = 1.5


@dataclass(frozen=True, slots=True)
class Result:
    """A line of the table. Small calls in calls a second, where more is better; the large call in seconds."""

    work: str
    database: str
    measured: float
    limit: float
    ratio: float
    target: float
    holds: bool


@dataclass(frozen=True, slots=True)
class Subject:
    """A work on a database, in how many processes the bare SQL is tried, and the seconds that all of it took."""

    work: Work
    prepared: Prepared
    transactions: list[Transaction]
    processes: tuple[int, ...]
    _service: list[float] = field(default_factory=list)
    _bare: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def database(self) -> str:
        """Names the kind of database."""
        return self.prepared.databases.name

    def measure(self, workers: Workers, caller: Caller) -> None:
        """Takes part in a round."""
        for count in self.processes:
            with self.prepared.fresh(self.work) as url:
                self._bare[count].append(workers.seconds(url, self.transactions, self.work.warming, count))
        with self.prepared.fresh(self.work) as url, servers.service(url) as running:
            self._service.append(caller.unassign(running.port, self.prepared.api_key, self.work))

    @property
    def service(self) -> float:
        """The seconds through the service."""
        return median(self._service)

    @property
    def bare(self) -> tuple[float, int]:
        """The seconds of the bare SQL, and the number of processes that did best."""
        return min((median(taken), count) for count, taken in self._bare.items())

    def small(self, empty: float) -> Result:
        """Compares calls a second with the sum of costs."""
        rate = self.work.timed / self.service
        limit = 1 / (self.bare[0] / self.work.timed + 1 / empty)
        ratio = rate / limit
        return Result(
            f"{self.work.name} (calls/s)", self.database, rate, limit, ratio, SMALL_TARGET, ratio >= SMALL_TARGET
        )

    def large(self) -> Result:
        """Compares the time of a call with the time of its SQL."""
        ratio = self.service / self.bare[0]
        return Result(
            f"{self.work.name} (s)",
            self.database,
            self.service,
            self.bare[0],
            ratio,
            LARGE_TARGET,
            ratio <= LARGE_TARGET,
        )
