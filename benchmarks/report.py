"""Shows what was measured, and on what."""

import json
import os
import platform
import signal
import sqlite3
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True)
class Result:
    """A line of the table; `work` ends with the unit of `measured` and `limit` in parentheses.

    `ratio` is measured / limit. Rates (calls/s) must reach `target`; everything else must not exceed it.
    """

    work: str
    measured: float
    limit: float
    ratio: float
    target: float
    holds: bool


def compared(work: str, unit: str, measured: float, limit: float, target: float) -> Result:
    """Makes a line. Times are given in seconds, and shown in milliseconds if the unit says so."""
    factor = 1_000 if unit == "ms" else 1
    ratio = measured / limit
    holds = ratio >= target if unit == "calls/s" else ratio <= target
    return Result(f"{work} ({unit})", measured * factor, limit * factor, ratio, target, holds)


def machine(postgresql: str = "") -> str:
    """Says what it ran on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    versions = [f"{name} {version(name)}" for name in ("grpcio", "SQLAlchemy", "psycopg")]
    versions += [f"PostgreSQL {postgresql}"] * bool(postgresql) + [f"SQLite {sqlite3.sqlite_version}"]
    system = f"{os.cpu_count()} CPUs ({model}), {platform.system()} {platform.release()}; load after: {load}"
    return f"{system}\nPython {platform.python_version()}, {', '.join(versions)}"


def show(results: list[Result], notes: list[str]) -> None:
    """Prints a table and notes."""
    console = Console(width=max(120, Console().width))
    table = Table("work", "measured", "limit", "ratio", "target", "holds")
    for column in table.columns[1:]:
        column.justify = "right"
    for result in results:
        sign = "≥" if result.work.endswith("(calls/s)") else "≤"
        digits = 0 if result.measured >= 100 else 2  # noqa: PLR2004  # three digits say enough
        numbers = (f"{result.measured:,.{digits}f}", f"{result.limit:,.{digits}f}", f"{result.ratio:.2f}")
        table.add_row(result.work, *numbers, f"{sign} {result.target}", "yes" if result.holds else "NO")
    console.print(table, *notes, sep="\n", highlight=False)


def write(results: list[Result], file: Path = RESULTS) -> None:
    """Writes the table as JSON."""
    file.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")


def interrupt_on_sigterm() -> None:
    """Turns SIGTERM into `KeyboardInterrupt`, so that servers and temporary folders go with a run that is ended."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
