"""Runs the torture and prints its report."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.torture.run import Run, Size
from tests.torture.sqlite_stage import SQLiteStage


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--faults", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    print(folder)
    done = Run(lambda f, c: SQLiteStage(f), Size(arguments.calls, arguments.faults, seed=arguments.seed), folder, print)()
    print(done)


main()
