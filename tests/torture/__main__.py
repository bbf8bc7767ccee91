"""Runs the torture, or checks the records of an earlier run again, and prints a report.

Ends with 1 if something is wrong; the records stay where the report says.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC looks at it when it is imported

from tests.torture import report
from tests.torture.postgres_stage import PostgresStage
from tests.torture.run import Run
from tests.torture.sqlite_stage import SQLiteStage
from tests.torture.stage import Size

# There are about twice as many kinds of faults on PostgreSQL.
_SHARES = {"postgresql": {"postgresql": 1.0}, "sqlite": {"sqlite": 1.0}, "both": {"postgresql": 2 / 3, "sqlite": 1 / 3}}


def run(database: str, size: Size, folder: Path) -> report.Figures:
    """Runs and checks one database."""
    folder.mkdir()
    done = Run(
        lambda into, clock: SQLiteStage(into) if database == "sqlite" else PostgresStage(clock, size.seed),
        size,
        folder,
        lambda text: print(f"{database}: {text}", file=sys.stderr, flush=True),
    )()
    figures = report.checked(folder, database)
    figures.seconds, figures.skipped = done.seconds, done.skipped
    return figures


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000, help="how many calls to make at least, in all")
    parser.add_argument("--faults", type=int, default=100, help="how many faults to inject, in all")
    parser.add_argument("--database", choices=sorted(_SHARES), default="both")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--minutes", type=float, default=60.0, help="when each database's run ends at the latest")
    parser.add_argument("--plant", default="", help="a bug from tests/torture/plants.py to plant into the server")
    parser.add_argument("--only", default="", help="inject only the faults whose name has this in it")
    parser.add_argument("--report", type=Path, help="a document with marks, between which to put the figures")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="check the records of an earlier run again")
    return parser.parse_args()


def main() -> int:
    """Runs or checks, and prints. Returns the exit code."""
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the run ends what it has started
    if asked.check is not None:
        found = [report.checked(asked.check, asked.check.name)]
    else:
        folder, found = Path(tempfile.mkdtemp(prefix="torture-")), []
        print(f"seed {asked.seed}, records in {folder}", file=sys.stderr)
        for database, share in _SHARES[asked.database].items():
            size = Size(
                calls=round(asked.calls * share),
                faults=round(asked.faults * share),
                seed=asked.seed,
                most_seconds=asked.minutes * 60,
                plant=asked.plant,
                only=asked.only,
            )
            found.append(run(database, size, folder / database))
    text = report.markdown(found, asked.seed)
    print(text)
    wrong = [figures for figures in found if figures.violations]
    for figures in wrong:
        print(report.violations(figures))
    if asked.report is not None and not wrong:
        report.write_into(asked.report, text)
    if asked.check is None and not wrong:
        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
