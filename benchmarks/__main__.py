"""`python -m benchmarks`: measures, prints the table, writes `results.json` and draws `chart.png`."""

import argparse
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import Progress

from benchmarks import chart, pgbench, report, rows, signals
from benchmarks.bare import workers
from benchmarks.beside import Beside
from benchmarks.catalogue import WORKS
from benchmarks.fairness import Fairness
from benchmarks.fleet import Fleet, empty_fleet, fill
from benchmarks.large import Large
from benchmarks.load import NO_GO, PythonLoad, load
from benchmarks.subjects import Subject, Tools
from service.config import Settings
from tests import postgres
from tests.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable

# Customers of whom devices are looked up, again and again.
_ASKED = 3_000


def _subjects(server: Postgres, folder: Path, rounds: int, *, hot: bool) -> list[tuple[Subject, float]]:
    """Prepares the small calls, each with what it is to reach of the sum of costs."""

    def changing(name: str, target: float, *, free: int = 0, hottest: bool = False) -> tuple[Subject, float]:
        # The calls of a round, and the transactions of pgbench and of the bare loop, with some to spare.
        count, each = (2_000, 60) if hottest else (1_200, 40)
        fleet = fill(server.create(), rounds * (15_000 if hottest else 7_000) + 20, free=free)
        return Subject(WORKS[name], fleet, 64, count, pgbench_each=each, alone=400 * hottest, half=hottest), target

    first = changing("UnassignDevices, 10 ids", 0.7, hottest=True)
    if hot:
        return [first]
    asked = fill(server.create(), _ASKED)
    file = folder / "bench.db"
    sqlite = fill(f"sqlite:///{file}", rounds * 2_000 + 20)
    return [
        first,
        (Subject(WORKS["LookupOwners, 1 id"], asked, 64, 4_000, pgbench_each=300, reused=_ASKED), 0.6),
        (Subject(WORKS["LookupOwners, 1,000 ids"], asked, 1, 0, bare=120, alone=120, reused=_ASKED - 50), 0),
        changing("AssignDevices, 10 ids", 0.6, free=10),
        changing("TransferDevices, 10 ids", 0.6),
        (Subject(WORKS["UnassignDevices, 10 ids"], sqlite, 16, 600, processes=(1, 2)), 0.6),
    ]


def _heading(fleet: Fleet, load_name: str, program: str | None) -> str:
    settings = {
        name: str(fleet.one(f"SHOW {name}")[0]).split()[0] for name in ("server_version", "synchronous_commit", "fsync")
    }
    version = settings.pop("server_version")
    words = ", ".join(f"{name} {value}" for name, value in settings.items())
    return report.machine(f"{version} ({words})", [load_name, pgbench.version(program) if program else "no pgbench"])


def main(rounds: int, *, hot: bool) -> None:
    """Measures everything in so many rounds, or only the first work, which is the one that most is done for."""
    started = time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(postgres.running())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="da-benchmarks-")))
        generator = stack.enter_context(load())
        tools = Tools(generator, stack.enter_context(workers(8)), pgbench.find(), Settings().threads)
        progress = stack.enter_context(Progress(transient=True))
        shown = progress.add_task("preparing", total=None)
        subjects = _subjects(server, folder, rounds, hot=hot)
        heading = _heading(subjects[0][0].fleet, generator.name, tools.pgbench)
        measures: list[Callable[[], None]] = [partial(subject.measure, tools) for subject, _ in subjects]
        others: list[Callable[[], list[report.Result]]] = []
        if not hot:
            large, beside = Large(server), Beside(empty_fleet(server.create()))
            large.prepare()
            beside.prepare(rounds)
            fairness = Fairness.prepared(server, rounds)
            measures += [partial(large.measure, tools.workers), partial(beside.measure, generator), fairness.measure]
            others = [partial(rows.of_large, large), partial(rows.of_beside, beside), fairness.rows]
        progress.update(shown, description="measuring", total=rounds * len(measures))
        for _ in range(rounds):
            for measure in measures:
                measure()
                progress.advance(shown)
        results = []
        for subject, target in subjects:
            results += rows.of_subject(subject, target) if subject.in_flight > 1 else rows.of_lookup(subject)
        for other in others:
            results += other()
        parts = [rows.parts(subject) for subject, _ in subjects]
    parts.append(f"medians of {rounds} rounds, {time.monotonic() - started:.0f} s in all")
    if tools.pgbench is None:
        parts.append(pgbench.HOW_TO_GET_IT)
    if isinstance(generator, PythonLoad):
        parts.append(NO_GO)
    report.show(results, parts, heading)
    if not hot:
        report.write(results)
        chart.draw(results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hot", action="store_true", help="only UnassignDevices of 10 identifiers; writes nothing")
    arguments = parser.parse_args()
    signals.interrupt_on_sigterm()
    main(arguments.rounds, hot=arguments.hot)
