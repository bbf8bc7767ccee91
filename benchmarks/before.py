"""`python -m benchmarks.before FOLDER`: an earlier version's server and this one's, in turns, in one run.

Both serve databases of their own making, and get the same calls from the same load generator. A rate must reach 0.95 of
the earlier one's, and a time must not exceed its inverse. `python -m benchmarks.fairness` and `benchmarks.size` compare
two versions, too.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import report
from benchmarks.load import load
from benchmarks.report import Result, compared
from benchmarks.rows import LONG, ROWS, Side
from benchmarks.works import ALL
from tests import postgres

_KEPT = 0.95
_MOST = round(1 / _KEPT, 3)


def _results(old: Side, new: Side) -> list[Result]:
    results = []
    for name in [row.name(workers) for row in ROWS for workers in row.ways]:
        unit, target = ("ms", _MOST) if " 1 in flight" in name else ("calls/s", _KEPT)
        results.append(compared(name, unit, new.median(name), old.median(name), target))
    for name, unit in ((LONG.name, "s"), ("peak", "MB"), ("memory of a server at rest", "MB")):
        shown = f"peak memory of {LONG.name}" if name == "peak" else name
        results.append(compared(shown, unit, new.median(name), old.median(name), _MOST))
    work = f"small calls, p99 with a call of {ALL:,} beside them"
    return [*results, compared(work, "ms", new.p99("beside"), old.p99("beside"), _MOST)]


def main(before: Path, rounds: int) -> None:
    """Measures both in turns, and prints the table."""
    started = time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(postgres.running())
        generator = stack.enter_context(load())
        old, new = (
            Side(server, generator, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="da-before-"))), code)
            for code in (before, None)
        )
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}, {time.monotonic() - started:.0f} s")
            # One after the other in each row, and in turns the first, so that a slow minute slows both.
            sides = (old, new) if number % 2 == 0 else (new, old)
            for row in ROWS:
                for side in sides:
                    side.measure(row)
            for side in sides:
                side.measure_long()
        heading = report.machine(new.small.one("SHOW server_version")[0])
    words = f"medians of {rounds} rounds in turns, {time.monotonic() - started:.0f} s in all"
    report.show(_results(old, new), [f"measured: this version; limit: {before}; {words}", heading])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.before", description=__doc__)
    parser.add_argument("folder", type=Path, help="the earlier version")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    report.interrupt_on_sigterm()
    main(arguments.folder.resolve(), arguments.rounds)
