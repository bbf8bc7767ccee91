"""Small calls at a steady rate, with and without a long call beside them.

The slowest of a hundred is told of all rounds together: beside one long call there are about a hundred small ones, and
the slowest of these alone would say more of the machine's worst moment.
"""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from deviceassignment.v1 import device_assignment_pb2 as pb

from benchmarks import servers
from benchmarks.catalogue import WORKS
from benchmarks.fleet import Fleet
from benchmarks.large import SIZE, stub
from benchmarks.load import Load, Target
from benchmarks.works import FIRST, OWNED, email, identifiers

RATE = 100
"""Small calls a second."""

_SECONDS = 4
_LONG_CALLS = 2
# How long the small calls go on where long ones are beside them; these take no longer than that, or the run says so.
_LONG_SECONDS = 9
_HEAD_START_SECONDS = 0.5
_WARMING = 100
_LONG = 5_000_000


@dataclass(slots=True)
class Beside:
    """A database with small customers, and with a large one for each round.

    Args:
        fleet: the database.
        code: the folder of another version of this project, to be measured instead of this one.
    """

    fleet: Fleet
    code: Path | None = None
    _next: int = FIRST
    _long: int = _LONG
    _samples: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @staticmethod
    def customers(rounds: int) -> int:
        """Returns how many small customers are needed."""
        return rounds * (_WARMING + RATE * (_SECONDS + _LONG_SECONDS))

    @classmethod
    def customers_of(cls, rounds: int) -> list[tuple[int, int, int]]:
        """Returns which customers there are: the first number, how many, and how many devices each has."""
        return [(FIRST, cls.customers(rounds), OWNED), (_LONG, rounds * _LONG_CALLS, SIZE)]

    def prepare(self, rounds: int) -> None:
        """Adds the customers."""
        for first, count, owned in self.customers_of(rounds):
            self.fleet.add(first, count, owned)
        self.fleet.settle()

    def p99(self, what: str) -> float:
        """Returns a time in seconds: of the small calls `without` and `with`."""
        times = sorted(self._samples[what])
        return times[len(times) * 99 // 100]

    def measure(self, load: Load) -> None:
        """Takes part in a round.

        Raises:
            AssertionError: a long call did not do its work, or went on after the small ones.
        """
        self._measure(load)
        small, long = self._next - FIRST, self._long - _LONG
        found = self.fleet.one(
            "SELECT (SELECT count(*) FROM operation WHERE kind = 'unassign'),"
            " (SELECT count(*) FROM assignment_change WHERE change = 2)"
        )
        if found != (small + long, small * 10 + long * SIZE):
            raise AssertionError(f"{small} small calls and {long} long ones left {found} operations and changes")

    def _measure(self, load: Load) -> None:
        work = WORKS["UnassignDevices, 10 ids"]
        with servers.service(self.fleet.url, code=self.code) as running, ThreadPoolExecutor(1) as thread:
            target = Target(running.port, work.path, self.fleet.api_key)

            def small(count: int, warming: int) -> list[tuple[float, float]]:
                requests = [work.request(number) for number in range(self._next, self._next + count)]
                self._next += count
                done = load.calls(target, requests, rate=RATE, warming=warming, each=True)
                return list(zip(done.starts, done.took, strict=True))

            without = small(_WARMING + RATE * _SECONDS, _WARMING)
            running_small = thread.submit(small, RATE * _LONG_SECONDS, 0)
            spans = []
            for _ in range(_LONG_CALLS):
                time.sleep(_HEAD_START_SECONDS)
                spans.append(self._call_long(running))
            beside = running_small.result()
        if beside[-1][0] < spans[-1][1]:
            raise AssertionError("the small calls were not beside whole long ones")
        self._samples["without"] += [took for _, took in without]
        self._samples["with"] += [took for began, took in beside if any(a <= began <= b for a, b in spans)]

    def _call_long(self, running: servers.Running) -> tuple[float, float]:
        """Makes a long call; tells when it began and ended."""
        request = pb.UnassignDevicesRequest(
            customer_email=email(self._long), device_identifiers=identifiers(self._long, SIZE)
        )
        self._long += 1
        start = time.time()
        answer = stub(running).UnassignDevices(request, metadata=(("x-api-key", self.fleet.api_key),))
        end = time.time()
        if len(answer.unassigned_devices) != SIZE:
            raise AssertionError(f"a long call unassigned {len(answer.unassigned_devices)} of {SIZE} devices")
        return start, end
