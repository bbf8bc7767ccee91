"""Small calls of one organisation beside what another one does: `python -m benchmarks.fairness`, and part of the whole.

The slowest of a hundred is told of all rounds together, beside the same calls alone. What is wanted is at most five
times as long, or 50 ms where that is more.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from deviceassignment.v1 import device_assignment_pb2 as pb
from sqlalchemy import create_engine, text

from benchmarks import crowd, report, servers, signals
from benchmarks.crowd import HALF_OPEN, LARGE, LOOKED_UP, OWNERS, PAGE, PREVIEWS, REPLAYS, SIZE, WRITERS
from benchmarks.fleet import Fleet
from benchmarks.other import fleets
from benchmarks.patient import GIVE_UP_SECONDS, Stream, timed
from benchmarks.works import FIRST, email, lookup, unassign
from tests import postgres
from tests.postgres import Postgres

LOADS = {
    "previews": f"{PREVIEWS} previews of {SIZE:,} identifiers",
    "members": f"{PREVIEWS} messages that are costly to parse",
    "writers": f"{WRITERS} writers who wait for one customer",
    "half-open": f"{HALF_OPEN} calls without their message",
    "watches": "as many watches as one organisation gets",
    "lookups": f"{PREVIEWS} lookups of {LOOKED_UP:,} devices with {OWNERS} owners each",
    "pages": f"{PREVIEWS} pages of {PAGE:,} devices of a past moment",
    "operations": f"{PREVIEWS} pages of {PAGE:,} operations or changes",
    "replays": f"{REPLAYS} streams that read old operations",
}
"""What the first organisation does, by the names that `crowd` has."""

_CALLS = (lookup(1), unassign(10))
_RATES = (50, 25)
_SECONDS = 3
_OPENED_A_SECOND = 3
_SETTLE_SECONDS = 1.0
_TIMES, _LEAST_MS = 5, 50


@dataclass(slots=True)
class Fairness:
    """A database with two organisations, and a server of it.

    Args:
        busy: the organisation that does much; it has a customer with as many devices as a preview names.
        other: the one whose calls are timed.
        code: the folder of another version of this project, to be measured instead of this one.
        loads: what the busy one does, one after the other.
    """

    busy: Fleet
    other: Fleet
    code: Path | None = None
    loads: Sequence[str] = tuple(LOADS)
    _next: int = FIRST
    _samples: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def prepared(
        cls, server: Postgres, rounds: int, code: Path | None = None, loads: Sequence[str] = tuple(LOADS)
    ) -> "Fairness":
        """Makes the database."""
        # Alone and beside each load, a call a customer.
        customers = rounds * (1 + len(LOADS)) * _SECONDS * max(_RATES)
        busy, other = fleets(code, server.create(), [[(LARGE, 1, SIZE)], [(FIRST, customers, 0)]])
        return cls(busy, other, code, loads)

    def measure(self) -> None:
        """Takes part in a round."""
        with servers.service(self.busy.url, code=self.code) as running:
            self._time(running.port, "alone")
        for load in self.loads:
            # A server of its own, because some loads are hard to recover from.
            with servers.service(self.busy.url, code=self.code) as running, ExitStack() as stack:
                stack.enter_context(self._held() if load == "writers" else nullcontext())
                stack.enter_context(crowd.crowd(load, running.port, self.busy.api_key))
                time.sleep(_SETTLE_SECONDS)
                self._time(running.port, load)

    def p99(self, what: str, load: str) -> float:
        """Returns the slowest of a hundred, in milliseconds."""
        times = sorted(self._samples[what, load])
        return times[len(times) * 99 // 100] * 1_000

    def rows(self) -> list[report.Result]:
        """Makes the lines of the table."""
        results = []
        for load in self.loads:
            for what in (*(work.name for work in _CALLS), "opening a watch"):
                # A call that was given up never holds, however long a call alone takes on a busy machine.
                limit = min(max(_TIMES * self.p99(what, "alone"), _LEAST_MS), GIVE_UP_SECONDS * 1_000 - 1)
                work = f"another organisation's {what}, p99 beside {LOADS[load]}"
                results.append(report.compared(work, "ms", self.p99(what, load), limit, 1))
        return results

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Holds the large customer's row from a session of its own, as a long import does."""
        engine = create_engine(self.busy.url)
        with engine.begin() as connection:
            held = text("SELECT 1 FROM customer WHERE email_key = :email FOR UPDATE")
            connection.execute(held, {"email": email(LARGE)}).one()
            yield
        engine.dispose()

    def _time(self, port: int, load: str) -> None:
        streams = []
        for work, rate in zip(_CALLS, _RATES, strict=True):
            numbers = range(self._next, self._next + rate * _SECONDS)
            streams.append(Stream(work.path, [work.request(number).SerializeToString() for number in numbers], rate))
        self._next += max(_RATES) * _SECONDS
        watch = pb.WatchOperationsRequest(from_now=True).SerializeToString()
        path = "/deviceassignment.v1.DeviceAssignmentService/WatchOperations"
        streams.append(Stream(path, [watch] * _OPENED_A_SECOND * _SECONDS, _OPENED_A_SECOND, answers=True))
        found = timed(port, self.other.api_key, streams)
        for what, seconds in zip((*(work.name for work in _CALLS), "opening a watch"), found, strict=True):
            self._samples[what, load] += seconds


def main(rounds: int, before: Path | None, loads: list[str]) -> None:
    """Measures, and prints the table."""
    with postgres.running() as server:
        sides = [Fairness.prepared(server, rounds, code, loads) for code in ([before, None] if before else [None])]
        for _ in range(rounds):
            for side in sides:
                side.measure()
        heading = report.machine(str(sides[0].busy.one("SHOW server_version")[0]), [])
        for side in sides:
            report.show(side.rows(), [f"{rounds} rounds of {side.code or 'this version'}"], heading)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="the folder of another version, to be measured beside this one")
    parser.add_argument("--load", choices=LOADS, action="append", help="only this one; may be repeated")
    arguments = parser.parse_args()
    signals.interrupt_on_sigterm()
    main(arguments.rounds, arguments.before, arguments.load or list(LOADS))
