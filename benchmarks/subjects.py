"""A kind of small call on one database: runs it and its limits in turns, and keeps what each round gave."""

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median

from benchmarks import pgbench, servers, trace
from benchmarks.bare import Bare, Workers
from benchmarks.fleet import Fleet
from benchmarks.load import Calls, Load, Target
from benchmarks.works import FIRST, Work

WORKERS = 2
"""Processes where there is not one."""

WAYS = {"": 1, f" --workers {WORKERS}": WORKERS}
"""How the service is served: the options, and how many processes that gives."""

_EMPTY_CALLS = 4_000
_EMPTY_CALLS_ONE_BY_ONE = 800
_HALF_RATE_SECONDS = 3.0
_WARMING = 400


@dataclass(frozen=True, slots=True)
class Tools:
    """What runs the limits and the calls. `pgbench` is the program, or None."""

    load: Load
    workers: Workers
    pgbench: str | None
    threads: int


@dataclass(slots=True)
class Subject:
    """A work on a database.

    Args:
        work: the calls.
        fleet: the database; each run takes numbers that none has taken before.
        in_flight: how many calls are under way at once where it is not one.
        count: how many calls a run of the service makes.
        pgbench_each: how many transactions each of pgbench's clients makes.
        bare: how many transactions the bare loop makes.
        alone: how many calls are made one by one, too.
        half: whether they are made at half of the top rate, too.
        reused: of reads: how many numbers there are, to be taken again and again.
        processes: in how many the bare loop is tried where pgbench is not.
    """

    work: Work
    fleet: Fleet
    in_flight: int
    count: int
    pgbench_each: int = 60
    bare: int = 500
    alone: int = 0
    half: bool = False
    reused: int = 0
    processes: tuple[int, ...] = (1, 2, 4, 8)
    _next: int = FIRST
    _done: int = 0
    _pattern: trace.Pattern | None = None
    _samples: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def pattern(self) -> trace.Pattern:
        """Returns what the calls send to the database, recorded when it is first asked for."""
        if self._pattern is None:
            self._pattern = trace.record(self.fleet, self.work, self._take(self.work.calls_traced))
        return self._pattern

    @property
    def name(self) -> str:
        """Names the work, and the database if it is not PostgreSQL."""
        return self.work.name if self.fleet.postgresql else f"SQLite: {self.work.name}"

    def median(self, what: str) -> float:
        """Returns the median over the rounds."""
        return median(self._samples[what])

    def has(self, what: str) -> bool:
        """Returns whether something was measured."""
        return bool(self._samples[what])

    def measure(self, tools: Tools) -> None:
        """Takes part in a round.

        Raises:
            AssertionError: the database does not have what the calls should have left.
        """
        self._empty(tools)
        self._database(tools)
        self._service(tools)
        self.check()

    def _take(self, count: int) -> int:
        if self.reused:
            return FIRST
        first = self._next
        self._next += count
        self._done += count
        return first

    def _requests(self, first: int, count: int) -> list[object]:
        return [self.work.request(self._number(first + place)) for place in range(count)]

    def _number(self, number: int) -> int:
        return FIRST + (number - FIRST) % self.reused if self.reused else number

    def _empty(self, tools: Tools) -> None:
        """Measures empty calls served in every way in which the service is."""
        sizes = {self.work.path: self.pattern.answer_bytes}
        times = []
        for how, processes in WAYS.items():
            if how and (self.in_flight == 1 or not self.fleet.postgresql):
                continue
            rates = []
            for kind in ("sync", "aio") if processes == 1 else ("sync",):
                with servers.empty(kind, tools.threads, sizes, processes) as running:
                    target = Target(running.port, self.work.path, self.fleet.api_key)
                    if self.in_flight > 1:
                        requests = self._requests(FIRST, _EMPTY_CALLS)
                        done = tools.load.calls(target, requests, in_flight=self.in_flight, warming=_WARMING)
                        rates.append(done.rate)
                    if self.alone and not how:
                        requests = self._requests(FIRST, _EMPTY_CALLS_ONE_BY_ONE)
                        times.append(tools.load.calls(target, requests, warming=_WARMING).p50)
            if rates:
                self._samples[f"empty rate{how}"].append(max(rates))
        if times:
            self._samples["empty p50"].append(min(times))

    def _database(self, tools: Tools) -> None:
        if self.in_flight > 1 and tools.pgbench and self.fleet.postgresql:
            first = self._take(self.in_flight * self.pgbench_each)
            pattern = self.pattern.transaction
            rate = pgbench.rate(
                tools.pgbench,
                self.fleet.url,
                pattern,
                first=first,
                clients=self.in_flight,
                each=self.pgbench_each,
            )
            self._samples["pgbench rate"].append(rate)
        elif self.in_flight > 1:
            for processes in self.processes:
                self._samples[f"bare rate {processes}"].append(self._bare(tools, processes).rate)
        if self.alone:
            self._samples["bare p50"].append(self._bare(tools, 1).p50)

    def _bare(self, tools: Tools, processes: int) -> Bare:
        first = self._take(self.bare)
        transactions = [self.pattern.of(self._number(first + place)) for place in range(self.bare)]
        return tools.workers.run(self.fleet.url, transactions, self.bare // 4, processes)

    def _service(self, tools: Tools) -> None:
        with servers.service(self.fleet.url) as running:
            self._samples["rest"].append(running.megabytes())
            made = 0
            target = Target(running.port, self.work.path, self.fleet.api_key)

            def run(count: int, *, in_flight: int = 1, warming: int = _WARMING) -> Calls:
                nonlocal made
                requests = self._requests(self._take(count), count)
                made += count
                return tools.load.calls(target, requests, in_flight=in_flight, warming=warming)

            if self.in_flight > 1:
                top = run(self.count + _WARMING, in_flight=self.in_flight)
                self._samples["early"].append(running.megabytes())
                self._samples["calls early"].append(made)
                self._samples["rate"].append(top.rate)
                self._samples["p50 in flight"].append(top.p50)
                self._samples["p99 in flight"].append(top.p99)
                if self.half:
                    count = int(top.rate / 2 * _HALF_RATE_SECONDS)
                    half = tools.load.calls(
                        target, self._requests(self._take(count), count), rate=top.rate / 2, warming=0
                    )
                    made += count
                    self._samples["half p50"].append(half.p50)
                    self._samples["half p99"].append(half.p99)
            if self.alone:
                warming = self.alone // 2
                alone = run(self.alone + warming, warming=warming)
                self._samples["p50"].append(alone.p50)
                self._samples["p99"].append(alone.p99)
            self._samples["late"].append(running.megabytes())
            self._samples["calls late"].append(made)

        if self.in_flight > 1 and self.fleet.postgresql:
            with servers.service(self.fleet.url, WORKERS) as running:
                self._samples["rest of a worker"].append(max(running.workers_megabytes()))
                count = self.count + _WARMING
                requests = self._requests(self._take(count), count)
                target = Target(running.port, self.work.path, self.fleet.api_key)
                top = tools.load.calls(target, requests, in_flight=self.in_flight, warming=_WARMING)
                self._samples[f"rate --workers {WORKERS}"].append(top.rate)

    @property
    def database_rate(self) -> tuple[float, str]:
        """Returns the rate of the SQL alone, and what ran it: pgbench, or so many processes of the bare loop."""
        if self.has("pgbench rate"):
            return self.median("pgbench rate"), "pgbench"
        rates = [(self.median(f"bare rate {count}"), count) for count in self.processes]
        best, count = max(rates)
        return best, f"bare in {count} process{'es' * (count > 1)}"

    def sum_of_costs(self, how: str) -> float:
        """Returns the rate of a call that costs as much as its SQL and an empty call together.

        The empty call is that of as many processes, or of fewer where these are quicker: so few cores are soon too few.
        """
        empty = max(self.median(f"empty rate{way}") for way in WAYS if WAYS[way] <= WAYS[how])
        return 1 / (1 / self.database_rate[0] + 1 / empty)

    def check(self) -> None:
        """Counts what the calls left: one operation each, and one row of history for each assignment that changed."""
        if not self.work.operation:
            return
        operations, changes = self.fleet.one(
            "SELECT (SELECT count(*) FROM operation WHERE kind = :kind),"
            " (SELECT count(*) FROM assignment_change WHERE revision > 1 OR customer_id LIKE 'cust_target%')",
            kind=self.work.operation,
        )
        if (operations, changes) != (self._done, self._done * self.work.changes):
            raise AssertionError(
                f"{self.work.name}: {self._done} calls left {operations} operations and {changes} changes"
            )
