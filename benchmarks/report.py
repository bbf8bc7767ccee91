"""Shows what was measured, and on what."""

import json
import os
import platform
import sqlite3
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

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
    """Makes a line."""
    ratio = measured / limit
    holds = ratio >= target if unit == "calls/s" else ratio <= target
    return Result(f"{work} ({unit})", measured, limit, ratio, target, holds)


def machine(postgresql: str, other: list[str]) -> str:
    """Says what it ran on."""
    cpus = os.cpu_count()
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    versions = [
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in ("grpcio", "SQLAlchemy", "psycopg")),
        f"PostgreSQL {postgresql}",
        f"SQLite {sqlite3.sqlite_version}",
        *other,
    ]
    return (
        f"{cpus} CPUs ({model}), {platform.system()} {platform.release()}; load before: {load}\n{', '.join(versions)}"
    )


def show(results: list[Result], parts: list[str], heading: str) -> None:
    """Prints the table and what it was computed from."""
    console = Console(width=max(120, Console().width))
    table = Table("work", "measured", "limit", "ratio", "target", "holds")
    for column in table.columns[1:]:
        column.justify = "right"
    for result in results:
        rate = result.work.endswith("(calls/s)")
        digits = 0 if result.measured >= 100 else 2  # noqa: PLR2004  # three digits say enough
        table.add_row(
            result.work,
            f"{result.measured:,.{digits}f}",
            f"{result.limit:,.{digits}f}",
            f"{result.ratio:.2f}",
            f"{'≥' if rate else '≤'} {result.target}",
            "yes" if result.holds else "NO",
        )
    console.print(heading, table, *parts, sep="\n", highlight=False)


def write(results: list[Result], file: Path = RESULTS) -> None:
    """Writes the table as JSON."""
    file.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
