"""`python -m benchmarks`: measures, prints the table, writes `results.json` and draws `chart.png`."""

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import chart, limits, report
from benchmarks.fleet import copied
from benchmarks.load import Load, load
from benchmarks.record import Recording, record
from benchmarks.report import Result, compared
from benchmarks.rows import LARGE, LONG, RATE, ROWS, Row, Side
from benchmarks.works import ALL
from tests import postgres

AT_REST_MB, PEAK_MB = 80, 300
_RECORDED, _RECORDED_SQLITE, _RECORDED_ALONE, _READ_AGAIN = 2_000, 600, 200, 4


class Limits:
    """The limits of rows. Each is measured once in a round, on a copy of the database, and kept by its name."""

    def __init__(self, side: Side, load: Load) -> None:
        self._side = side
        self._load = load
        self._recordings: dict[str, Recording] = {}

    def recording(self, row: Row) -> Recording:
        """Records the SQL of a row's work once."""
        name = f"{row.work.name} {row.sqlite}"
        if name not in self._recordings:
            fleet = self._side.sqlite if row.sqlite else self._side.small
            count = _RECORDED_ALONE if row.in_flight == 1 else _RECORDED_SQLITE if row.sqlite else _RECORDED
            with copied(self._side.server, fleet) as copy:
                self._recordings[name] = record(copy, row.work, count)
        return self._recordings[name]

    def measure(self, row: Row) -> None:
        """Takes part in a round."""
        samples, recording = self._side.samples, self.recording(row)
        name = row.name()
        for workers in row.ways:
            rate, p50 = limits.empty(self._load, row.work, recording, workers)
            samples[f"empty of {row.name(workers)}"].append(rate if row.in_flight > 1 else p50)
        fleet = self._side.sqlite if row.sqlite else self._side.small
        with copied(self._side.server, fleet) as copy:
            if row.in_flight == 1:
                samples[f"database of {name}"].append(limits.bare(copy, recording).p50)
            elif row.sqlite:
                samples[f"database of {name}"].append(limits.bare(copy, recording).rate)
            else:
                repeated = 1 if row.work.changes else _READ_AGAIN
                samples[f"database of {name}"].append(limits.replay(copy, recording, row.in_flight, repeated))

    def measure_long(self, recording: Recording) -> None:
        """Takes part in a round with the long call."""
        with copied(self._side.server, self._side.large) as copy:
            self._side.samples["bare"].append(limits.bare(copy, recording).p50)


def _results(side: Side, row: Row) -> list[Result]:
    name, database = row.name(), side.median(f"database of {row.name()}")
    if row.alone:
        return [compared(f"{name}, p50 beside bare", "ms", side.median(name), database, row.target)]
    if row.in_flight == 1:
        limit = side.median(f"empty of {name}") + database
        return [compared(f"{name}, p50 beside empty + bare", "ms", side.median(name), limit, row.target)]
    results = []
    for workers in row.ways:
        # Of as many processes as serve, or of one where that is quicker: so few cores are soon too few.
        empty = max(side.median(f"empty of {row.name(way)}") for way in row.ways if way <= workers)
        limit = 1 / (1 / database + 1 / empty)
        work = f"{row.name(workers)}, beside the sum of costs"
        results.append(compared(work, "calls/s", side.median(row.name(workers)), limit, row.target))
    if row.half:
        p99, p50 = side.median(f"half p99 of {name}"), side.median(f"half p50 of {name}")
        results.append(compared(f"{row.work.name}, p99 at half of the top rate beside p50", "ms", p99, p50, 4))
    elif len(row.ways) > 1:
        one, several = (side.median(row.name(workers)) for workers in row.ways)
        results.append(compared(f"{row.work.name}, {row.ways[-1]} workers beside one", "calls/s", several, one, 1.15))
    return results


def _results_of_all(side: Side) -> list[Result]:
    beside = f"{RATE} small calls a second, p99 with a call of {ALL:,} beside them, and without"
    return [
        compared(what, "MB", side.median(what), AT_REST_MB, 1)
        for what in ("memory of a server at rest", "memory of each of 2 workers at rest")
    ] + [
        compared(f"{LONG.name}, beside bare", "s", side.median(LONG.name), side.median("bare"), 1.15),
        compared(f"{LONG.name}, peak memory of the server", "MB", side.median("peak"), PEAK_MB, 1),
        compared(beside, "ms", side.p99("beside"), side.p99("without"), 3),
    ]


def _notes(side: Side, row: Row) -> str:
    """Shows what the results were computed from, and p99."""
    names = [name for name in side.samples if name.endswith(row.name()) or name in map(row.name, row.ways)]
    found = ((name, side.median(name)) for name in names)
    return "; ".join(f"{name} {f'{1_000 * value:.2f} ms' if value < 1 else f'{value:,.0f}/s'}" for name, value in found)


def main(rounds: int, only: str) -> None:
    """Measures so many rounds of everything, or only the rows that have a text in their names; then writes nothing."""
    started = time.monotonic()
    rows = [row for row in ROWS if only in row.name()]
    with ExitStack() as stack:
        server = stack.enter_context(postgres.running())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="da-benchmarks-")))
        generator = stack.enter_context(load())
        side = Side(server, generator, folder)
        of_rows = Limits(side, generator)
        long: Recording | None = None
        if not only:
            with copied(server, side.large) as copy:
                long = record(copy, LONG, 1, LARGE)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}, {time.monotonic() - started:.0f} s")
            for row in rows:
                of_rows.measure(row)
                side.measure(row)
            if long is not None:
                of_rows.measure_long(long)
                side.measure_long()
        heading = report.machine(side.small.one("SHOW server_version")[0])
    results = [result for row in rows for result in _results(side, row)]
    if not only:
        results += _results_of_all(side)
        report.write(results)
        chart.draw(results)
    notes = [f"medians of {rounds} rounds, {time.monotonic() - started:.0f} s in all", heading]
    report.show(results, [_notes(side, row) for row in rows] + notes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="only rows with this in their names; writes nothing")
    arguments = parser.parse_args()
    report.interrupt_on_sigterm()
    main(arguments.rounds, arguments.only)
