"""Small calls at a steady rate, with and without a long call beside them."""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median

from deviceassignment.v1 import device_assignment_pb2 as pb

from benchmarks import servers
from benchmarks.catalogue import WORKS
from benchmarks.fleet import Fleet
from benchmarks.large import SIZE, stub
from benchmarks.load import Load, Target
from benchmarks.works import FIRST, email, identifiers

RATE = 100
"""Small calls a second."""

HELD = ", with --cpu-affinity"
"""Behind the name of what is measured on one CPU."""

_SECONDS = 4
# How long the small calls go on where a long one is beside them; it is not longer than that, or the run says so.
_LONG_SECONDS = 9
_HEAD_START_SECONDS = 0.5
_WARMING = 100
_LONG = 5_000_000


@dataclass(slots=True)
class Beside:
    """A database with small customers, and with a large one for each round."""

    fleet: Fleet
    _next: int = FIRST
    _long: int = _LONG
    _samples: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @staticmethod
    def customers(rounds: int) -> int:
        """Tells how many small customers are needed."""
        return 2 * rounds * (_WARMING + RATE * (_SECONDS + _LONG_SECONDS))

    def prepare(self, rounds: int) -> None:
        """Adds the customers."""
        self.fleet.add(FIRST, self.customers(rounds))
        self.fleet.add(_LONG, 2 * rounds, owned=SIZE)
        self.fleet.settle()

    def median(self, what: str) -> float:
        """Gives the median in seconds: the small calls' p99 `without` and `with`; behind it HELD for one CPU."""
        return median(self._samples[what])

    def measure(self, load: Load) -> None:
        """Takes part in a round.

        Raises:
            AssertionError: the long call did not do its work, or went on after the small ones.
        """
        for how in ("", HELD):
            self._measure(load, how)
        small, long = self._next - FIRST, self._long - _LONG
        found = self.fleet.one(
            "SELECT (SELECT count(*) FROM operation WHERE kind = 'unassign'),"
            " (SELECT count(*) FROM assignment_change WHERE change = 2)"
        )
        if found != (small + long, small * 10 + long * SIZE):
            raise AssertionError(f"{small} small calls and {long} long ones left {found} operations and changes")

    def _measure(self, load: Load, how: str) -> None:
        work = WORKS["UnassignDevices, 10 ids"]
        with servers.service(self.fleet.url, held=bool(how)) as running, ThreadPoolExecutor(1) as thread:
            target = Target(running.port, work.path, self.fleet.api_key)

            def small(count: int, warming: int) -> list[tuple[float, float]]:
                requests = [work.request(number) for number in range(self._next, self._next + count)]
                self._next += count
                done = load.calls(target, requests, rate=RATE, warming=warming, each=True)
                return list(zip(done.starts, done.took, strict=True))

            without = small(_WARMING + RATE * _SECONDS, _WARMING)
            running_small = thread.submit(small, RATE * _LONG_SECONDS, 0)
            time.sleep(_HEAD_START_SECONDS)
            request = pb.UnassignDevicesRequest(
                customer_email=email(self._long), device_identifiers=identifiers(self._long, SIZE)
            )
            self._long += 1
            start = time.time()
            answer = stub(running).UnassignDevices(request, metadata=(("x-api-key", self.fleet.api_key),))
            end = time.time()
            beside = running_small.result()
        if len(answer.unassigned_devices) != SIZE or beside[-1][0] < end:
            raise AssertionError("the small calls were not beside a whole long one")
        self._samples[f"without{how}"].append(_p99([took for _, took in without]))
        self._samples[f"with{how}"].append(_p99([took for began, took in beside if start <= began <= end]))


def _p99(times: list[float]) -> float:
    return sorted(times)[len(times) * 99 // 100]
