"""`python -m benchmarks`: measures, prints the table and writes `results.json`."""

import argparse
import time
from contextlib import ExitStack, closing

from rich.progress import Progress
from sqlalchemy import text

from benchmarks import pgbench, report
from benchmarks.bare import workers
from benchmarks.catalogue import WORKS
from benchmarks.fleet import fill
from benchmarks.load import load
from benchmarks.report import Result, compared
from benchmarks.subjects import Subject, Tools
from service.config import Settings
from service.storage.database import Database
from tests import postgres

_MS = 1_000


def _hot(subject: Subject) -> list[Result]:
    name, in_flight = subject.work.name, subject.in_flight
    rows = [
        compared(f"{name}, {in_flight} in flight", "calls/s", subject.median("rate"), subject.sum_of_costs, 0.7),
    ]
    if subject.alone:
        limit = subject.median("empty p50") + subject.median("bare p50")
        rows.append(compared(f"{name}, 1 in flight, p50", "ms", subject.median("p50") * _MS, limit * _MS, 1.3))
    if subject.half:
        p99, p50 = subject.median("half p99"), subject.median("half p50")
        rows.append(compared(f"{name}, p99 at half of the top rate beside p50", "ms", p99 * _MS, p50 * _MS, 4))
    return rows


def _parts(subject: Subject) -> str:
    rate, what = subject.database_rate
    words = [f"{subject.work.name}: {what} {rate:,.0f}/s, empty {subject.median('empty rate'):,.0f}/s"]
    words.append(
        f"p50 {subject.median('p50 in flight') * _MS:.1f} ms and p99 {subject.median('p99 in flight') * _MS:.1f} ms"
        f" with {subject.in_flight} in flight"
    )
    if subject.alone:
        words.append(
            f"one by one: p50 {subject.median('p50') * _MS:.2f} ms, p99 {subject.median('p99') * _MS:.2f} ms, bare p50"
            f" {subject.median('bare p50') * _MS:.2f} ms, empty p50 {subject.median('empty p50') * _MS:.2f} ms"
        )
    return "; ".join(words)


def main(rounds: int) -> None:
    """Measures everything in so many rounds."""
    started = time.monotonic()
    heading = ""
    with ExitStack() as stack:
        server = stack.enter_context(postgres.running())
        tools = Tools(stack.enter_context(load()), stack.enter_context(workers(8)), pgbench.find(), Settings().threads)
        progress = stack.enter_context(Progress(transient=True))
        shown = progress.add_task("preparing", total=None)
        hot = Subject(
            WORKS["UnassignDevices, 10 ids"], fill(server.create(), 11_000 * rounds), 64, 2_000, alone=True, half=True
        )
        with closing(Database(hot.fleet.url)) as database, database.session(write=False) as connection:
            settings = ("server_version", "synchronous_commit", "fsync")
            values = [str(connection.execute(text(f"SHOW {name}")).scalar_one()).split()[0] for name in settings]
        heading = report.machine(f"{values[0]} (synchronous_commit {values[1]}, fsync {values[2]})", [])
        progress.update(shown, description="measuring", total=rounds)
        for _ in range(rounds):
            hot.measure(tools)
            progress.advance(shown)
    results = _hot(hot)
    parts = [_parts(hot), f"medians of {rounds} rounds, {time.monotonic() - started:.0f} s in all"]
    if tools.pgbench is None:
        parts.append(pgbench.HOW_TO_GET_IT)
    report.show(results, parts, heading)
    report.write(results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args().rounds)
