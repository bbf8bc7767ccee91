"""`python -m benchmarks`: measures, prints the table and writes `results.json`."""

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from rich.progress import Progress
from sqlalchemy import text

from benchmarks import report, servers, trace
from benchmarks.bare import workers
from benchmarks.caller import caller
from benchmarks.copies import PostgresDatabases, SQLiteFiles, prepare
from benchmarks.rounds import Subject
from benchmarks.work import LARGE, LARGE_WORK, SMALL, SMALL_WORKS
from service.config import Settings
from service.storage.database import Database
from tests import postgres

# SQLite has one writer at a time.
_PROCESSES = {"SQLite": (1, 2), "PostgreSQL": (1, 2, 4, 8)}


def _subjects(databases: SQLiteFiles | PostgresDatabases) -> tuple[list[Subject], Subject]:
    prepared = prepare(databases, SMALL)
    processes = _PROCESSES[databases.name]
    small = [Subject(work, prepared, trace.record(prepared, work), processes) for work in SMALL_WORKS]
    prepared = prepare(databases, LARGE)
    return small, Subject(LARGE_WORK, prepared, trace.record(prepared, LARGE_WORK), (1,))


def _version(url: str) -> str:
    with closing(Database(url)) as database, database.session(write=False) as connection:
        return str(connection.execute(text("SHOW server_version")).scalar_one()).split()[0]


def main(rounds: int) -> None:
    """Measures everything in so many rounds."""
    started = time.monotonic()
    empty: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="da-benchmarks-") as folder,
        postgres.running() as server,
        workers(max(max(counts) for counts in _PROCESSES.values())) as bare,
        caller() as client,
        Progress(transient=True) as progress,
    ):
        shown = progress.add_task("preparing", total=None)
        small: list[Subject] = []
        large: list[Subject] = []
        for databases in (SQLiteFiles(Path(folder)), PostgresDatabases(server)):
            of_small, of_large = _subjects(databases)
            small += of_small
            large.append(of_large)
        progress.update(shown, description="measuring", total=rounds * len(small + large))
        for _ in range(rounds):
            with servers.empty(Settings().threads) as port:
                empty.append(SMALL_WORKS[0].timed / client.nothing(port, SMALL_WORKS[0]))
            for subject in small + large:
                subject.measure(bare, client)
                progress.advance(shown)
        version = _version(large[-1].prepared.url)
    results = [subject.small(median(empty)) for subject in small] + [subject.large() for subject in large]
    parts = [f"empty call: {median(empty):,.0f}/s"]
    for subject in small:
        seconds, processes = subject.bare
        what = f"bare SQL, {subject.work.name}, {subject.database}"
        parts.append(f"{what}: {subject.work.timed / seconds:,.0f}/s, best with {processes} processes")
    parts.append(f"medians of {rounds} rounds, {time.monotonic() - started:.0f} s in all")
    report.show(results, parts, report.machine(version))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args().rounds)
