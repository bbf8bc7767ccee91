"""Runs of the torture from a test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.torture import report
from tests.torture.clock import Clock
from tests.torture.postgres_stage import PostgresStage
from tests.torture.report import Figures
from tests.torture.run import Run
from tests.torture.sqlite_stage import SQLiteStage
from tests.torture.stage import Size, Stage

Torture = Callable[[str, Size], Figures]


@pytest.fixture
def torture(tmp_path: Path) -> Torture:
    """Runs the torture on a database, and checks it."""

    def run(database: str, size: Size) -> Figures:
        def stage(into: Path, clock: Clock) -> Stage:
            if database == "sqlite":
                return SQLiteStage(into)
            return PostgresStage(clock, size.seed, followed=size.faults > 0)

        Run(stage, size, tmp_path)()
        return report.checked(tmp_path, database)

    return run
