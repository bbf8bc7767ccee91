"""`python -m benchmarks.before FOLDER`: an earlier version's server and this one's, in turns, in one run.

Both serve databases of their own making, and get the same calls from the same load generator. A rate must reach 0.95 of
the earlier one's, and a time must not exceed its inverse.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from rich.progress import Progress

from benchmarks import large, report, servers, signals
from benchmarks.beside import Beside
from benchmarks.catalogue import WORKS
from benchmarks.fairness import Fairness
from benchmarks.fleet import Fleet
from benchmarks.large import SIZE
from benchmarks.load import Load, Target, load
from benchmarks.other import fleets
from benchmarks.report import Result, compared
from benchmarks.works import FIRST, Work
from tests import postgres
from tests.postgres import Postgres

_KEPT = 0.95
_WARMING = 400
_ASKED = 3_000


@dataclass(frozen=True, slots=True)
class Line:
    """A kind of call, and how it is made: `in_flight` at once, by so many workers, `count` of them in a round."""

    work: Work
    in_flight: int
    count: int
    workers: int = 1
    reads: bool = False
    free: int = 0
    sqlite: bool = False

    @property
    def name(self) -> str:
        """Names the row."""
        kind = "SQLite: " if self.sqlite else ""
        workers = f" --workers {self.workers}" if self.workers > 1 else ""
        return f"{kind}{self.work.name}, {self.in_flight} in flight{workers}"


LINES = (
    Line(WORKS["UnassignDevices, 10 ids"], 64, 2_000),
    Line(WORKS["UnassignDevices, 10 ids"], 64, 2_000, workers=2),
    Line(WORKS["UnassignDevices, 10 ids"], 1, 400),
    Line(WORKS["LookupOwners, 1 id"], 64, 4_000, reads=True),
    Line(WORKS["LookupOwners, 1 id"], 64, 4_000, workers=2, reads=True),
    Line(WORKS["LookupOwners, 1 id"], 1, 800, reads=True),
    Line(WORKS["LookupOwners, 1,000 ids"], 1, 120, reads=True),
    Line(WORKS["AssignDevices, 10 ids"], 64, 1_200, free=10),
    Line(WORKS["TransferDevices, 10 ids"], 64, 1_200),
    Line(WORKS["UnassignDevices, 10 ids"], 16, 600, sqlite=True),
)


@dataclass(slots=True)
class Side:
    """One of the two versions: `code` is the earlier one's folder, and None is this one."""

    code: Path | None
    _fleets: dict[Line, Fleet] = field(default_factory=dict)
    _next: dict[Line, int] = field(default_factory=lambda: defaultdict(lambda: FIRST))
    _samples: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _large: Fleet | None = None
    _beside: Beside | None = None
    _fairness: Fairness | None = None
    _rounds: int = 0

    def prepare(self, server: Postgres, folder: Path, rounds: int) -> None:
        """Makes the databases."""
        for number, line in enumerate(LINES):
            count = _ASKED if line.reads else rounds * (line.count + _WARMING)
            url = f"sqlite:///{folder / f'{number}.db'}" if line.sqlite else server.create()
            (self._fleets[line],) = fleets(self.code, url, [[(FIRST, count, 0)]], line.free)
        (self._large,) = fleets(self.code, server.create(), [[(FIRST, rounds, 2 * SIZE)]])
        (small,) = fleets(self.code, server.create(), [Beside.customers_of(rounds)])
        self._beside = Beside(small, self.code)
        self._fairness = Fairness.prepared(server, rounds, self.code)

    def measure(self, generator: Load) -> Iterator[None]:
        """Takes part in a round, and yields after each part of it."""
        for line in LINES:
            self._measure(line, generator)
            yield
        if self._large is not None:
            with servers.service(self._large.url, code=self.code) as running:
                took = large.seconds(running, self._large, FIRST + self._rounds)
                self._samples["large"].append(took)
                self._samples["peak"].append(running.megabytes("VmHWM"))
            yield
        if self._beside is not None:
            self._beside.measure(generator)
            yield
        if self._fairness is not None:
            self._fairness.measure()
            yield
        self._rounds += 1

    def _measure(self, line: Line, generator: Load) -> None:
        fleet = self._fleets[line]
        warming = min(_WARMING, line.count // 2)
        first, asked = self._next[line], line.count + warming
        if not line.reads:
            self._next[line] += asked
        # A lookup of a thousand devices is about fifty customers.
        numbers = [FIRST + place % (_ASKED - 50) if line.reads else first + place for place in range(asked)]
        with servers.service(fleet.url, line.workers, self.code) as running:
            if line.workers == 1:
                self._samples["rest"].append(running.megabytes())
            target = Target(running.port, line.work.path, fleet.api_key)
            requests = [line.work.request(number) for number in numbers]
            done = generator.calls(target, requests, in_flight=line.in_flight, warming=warming)
        self._samples[line.name].append(done.rate if line.in_flight > 1 else done.p50)

    def median(self, what: str) -> float:
        """Returns the median over the rounds."""
        return median(self._samples[what])

    @property
    def beside(self) -> float:
        """Returns the slowest of a hundred small calls beside a long one, in seconds."""
        return self._beside.p99("with") if self._beside else 0

    @property
    def fairness(self) -> list[Result]:
        """Returns the lines of the two organisations."""
        return self._fairness.rows() if self._fairness else []


def _rows(old: Side, new: Side) -> list[Result]:
    found = []
    for line in LINES:
        rate, (now, was) = line.in_flight > 1, (side.median(line.name) for side in (new, old))
        if rate:
            found.append(compared(line.name, "calls/s", now, was, _KEPT))
        else:
            found.append(compared(f"{line.name}, p50", "ms", now * 1_000, was * 1_000, round(1 / _KEPT, 3)))
    most = round(1 / _KEPT, 3)
    found.append(compared(f"UnassignDevices, {SIZE:,} ids", "s", new.median("large"), old.median("large"), most))
    found.append(compared("peak memory of that", "MB", new.median("peak"), old.median("peak"), most))
    found.append(compared("memory of a server at rest", "MB", new.median("rest"), old.median("rest"), most))
    work = f"small calls, p99 with a call of {SIZE:,} beside them"
    found.append(compared(work, "ms", new.beside * 1_000, old.beside * 1_000, most))
    return found


def main(before: Path, rounds: int) -> None:
    """Measures both in turns, and prints the tables."""
    started = time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(postgres.running())
        generator = stack.enter_context(load())
        progress = stack.enter_context(Progress(transient=True))
        old, new = Side(before), Side(None)
        shown = progress.add_task("preparing", total=None)
        for side in (old, new):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="da-before-")))
            side.prepare(server, folder, rounds)
        progress.update(shown, description="measuring", total=rounds * (len(LINES) + 3))
        for number in range(rounds):
            # One after the other in each part, and in turns the first, so that a slow minute slows both.
            sides = (old, new) if number % 2 == 0 else (new, old)
            for _ in zip(*(side.measure(generator) for side in sides), strict=True):
                progress.advance(shown)
        heading = report.machine("of the benchmark", [generator.name])
    words = f"medians of {rounds} rounds in turns, {time.monotonic() - started:.0f} s in all"
    report.show(_rows(old, new), [f"measured: this version; limit: {before}; {words}"], heading)
    report.show(old.fairness, [f"one organisation beside another, {before}"], heading)
    report.show(new.fairness, ["one organisation beside another, this version"], heading)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.before", description=__doc__)
    parser.add_argument("folder", type=Path, help="the earlier version")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    signals.interrupt_on_sigterm()
    main(arguments.folder.resolve(), arguments.rounds)
