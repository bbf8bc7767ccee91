"""What is measured: the rows of the table, and how the calls of each are made.

A `Side` is one version of the project with its databases: `make bench` has one side and limits, `make bench-before`
has two.
"""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median

from benchmarks import servers
from benchmarks.fleet import Customers, Fleet, copied, fill
from benchmarks.load import Load
from benchmarks.works import ALL, FIRST, Work, assign, lookup, transfer, unassign
from tests.postgres import Postgres

WARMING = 400
CUSTOMERS = 4_500
"""Customers of the database of small calls. Lookups ask for the devices of the first `_ASKED` of them repeatedly."""

SQLITE_CUSTOMERS = 1_200
_FREE = 2_100
_ASKED = 3_000

RATE = 100
"""Small calls a second beside a long one."""

_SECONDS, _LONG_SECONDS, _LONG_CALLS, _HEAD_START_SECONDS = 4, 9, 2, 0.5
_BESIDE = WARMING + RATE * (_SECONDS + _LONG_SECONDS)
_HALF_RATE_SECONDS = 2.5
LARGE = FIRST + 5_000_000
"""The first of the customers of long calls."""


@dataclass(frozen=True, slots=True)
class Row:
    """Small calls, and how they are made.

    Attributes:
        work: the calls.
        in_flight: how many at once.
        count: how many in a round, beside those that warm up.
        target: the ratio to the limit that is to be reached.
        ways: by how many workers, one after the other.
        alone: whether the limit of single calls is the bare SQL, without an empty call.
        half: whether they are also made at half of the top rate.
        sqlite: whether the database is SQLite.
    """

    work: Work
    in_flight: int
    count: int
    target: float
    ways: tuple[int, ...] = (1,)
    alone: bool = False
    half: bool = False
    sqlite: bool = False

    def name(self, workers: int = 1) -> str:
        """Names the row."""
        how = f" --workers {workers}" if workers > 1 else ""
        return f"{'SQLite: ' * self.sqlite}{self.work.name}, {self.in_flight} in flight{how}"


ROWS = (
    Row(unassign(10), 64, 2_000, 0.7, ways=(1, 2), half=True),
    Row(unassign(10), 1, 400, 1.3),
    Row(lookup(1), 64, 4_000, 0.6, ways=(1, 2)),
    Row(lookup(1), 1, 800, 1.5),
    Row(lookup(1_000), 1, 120, 1.5, alone=True),
    Row(assign(10), 64, 1_200, 0.6),
    Row(transfer(10), 64, 1_200, 0.6),
    Row(unassign(10), 16, 600, 0.6, sqlite=True),
)
LONG = unassign(ALL)


@dataclass
class Side:
    """A version of the project: `code` is its folder, and None is this one. Gathers what was measured, by names."""

    server: Postgres
    load: Load
    folder: Path
    code: Path | None = None
    samples: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @cached_property
    def small(self) -> Fleet:
        """Returns the database of small calls, which is made when it is first needed, like the others."""
        customers = Customers(FIRST, CUSTOMERS, free=_FREE, targets=_FREE)
        return fill(self.load, self.server.create(), [customers], code=self.code)

    @cached_property
    def sqlite(self) -> Fleet:
        """Returns an SQLite file."""
        url = f"sqlite:///{self.folder / 'bench.db'}"
        return fill(self.load, url, [Customers(FIRST, SQLITE_CUSTOMERS)], code=self.code)

    @cached_property
    def large(self) -> Fleet:
        """Returns the database of long calls, and of small ones beside them."""
        large = [Customers(LARGE, _LONG_CALLS + 1, 2 * ALL), Customers(FIRST, _BESIDE)]
        return fill(self.load, self.server.create(), large, code=self.code)

    def median(self, name: str) -> float:
        """Returns the median over the rounds."""
        return median(self.samples[name])

    def p99(self, name: str) -> float:
        """Returns what one in a hundred exceeds, of all rounds together: of a hundred calls it would be one call."""
        times = sorted(self.samples[name])
        return times[len(times) * 99 // 100]

    def measure(self, row: Row) -> None:
        """Makes the calls of a row, for each number of workers on a copy of the database."""
        for workers in row.ways:
            fleet = self.sqlite if row.sqlite else self.small
            with copied(self.server, fleet) as copy, servers.service(copy.url, workers, self.code) as running:
                what = "memory of a server at rest" if workers == 1 else f"memory of each of {workers} workers at rest"
                resting = [running.megabytes()] if workers == 1 else running.workers_megabytes()
                self.samples[what].append(max(resting))
                made = self._small(row, row.name(workers), copy, running)
                if row.work.changes:
                    copy.check(made, made * row.work.changes)

    def _small(self, row: Row, name: str, copy: Fleet, running: servers.Running) -> int:
        warming = min(WARMING, row.count // 2)
        asked = row.count + warming
        numbers = [FIRST + (place if row.work.changes else place % (_ASKED - 50)) for place in range(asked)]
        requests = [row.work.request(number) for number in numbers]
        target = (running.port, row.work.path, copy.key)
        done = self.load.calls(*target, requests, in_flight=row.in_flight, warming=warming)
        self.samples[name].append(done.rate if row.in_flight > 1 else done.p50)
        self.samples[f"p99 of {name}"].append(done.p99)
        if not (row.half and name == row.name()):
            return asked
        count = min(int(done.rate / 2 * _HALF_RATE_SECONDS), CUSTOMERS - asked)
        requests = [row.work.request(FIRST + asked + place) for place in range(count)]
        half = self.load.calls(*target, requests, rate=done.rate / 2)
        self.samples[f"half p50 of {name}"].append(half.p50)
        self.samples[f"half p99 of {name}"].append(half.p99)
        return asked + count

    def measure_long(self) -> None:
        """Makes a long call alone, and then small calls without and with long ones beside them."""
        with copied(self.server, self.large) as copy, servers.service(copy.url, code=self.code) as running:
            running.stub().LookupOwners(lookup(10).request(FIRST), metadata=(("x-api-key", copy.key),))
            start, end = self._call_long(copy, running, LARGE)
            self.samples[LONG.name].append(end - start)
            self.samples["peak"].append(running.megabytes("VmHWM"))
            copy.check(1, ALL)
        with copied(self.server, self.large) as copy, servers.service(copy.url, code=self.code) as running:
            work = unassign(10)
            requests = [work.request(FIRST + place) for place in range(_BESIDE)]
            first = WARMING + RATE * _SECONDS
            target = (running.port, work.path, copy.key)
            without = self.load.calls(*target, requests[:first], rate=RATE, warming=WARMING)
            with ThreadPoolExecutor(1) as thread:
                beside = thread.submit(self.load.calls, *target, requests[first:], rate=RATE)
                spans = []
                for number in range(LARGE + 1, LARGE + 1 + _LONG_CALLS):
                    time.sleep(_HEAD_START_SECONDS)
                    spans.append(self._call_long(copy, running, number))
                found = beside.result()
            copy.check(len(requests) + _LONG_CALLS, 10 * len(requests) + ALL * _LONG_CALLS)
        if found.starts[-1] < spans[-1][1]:
            raise AssertionError("the small calls were not beside whole long ones")
        self.samples["without"] += without.took
        calls = zip(found.starts, found.took, strict=True)
        self.samples["beside"] += [took for began, took in calls if any(a <= began <= b for a, b in spans)]

    def _call_long(self, copy: Fleet, running: servers.Running, number: int) -> tuple[float, float]:
        request, stub = LONG.request(number), running.stub()
        start = time.time()
        answer = stub.UnassignDevices(request, metadata=(("x-api-key", copy.key),))
        end = time.time()
        if not LONG.exact(answer, number):
            raise AssertionError(f"a long call unassigned {len(answer.unassigned_devices)} of {ALL} devices")
        return start, end
