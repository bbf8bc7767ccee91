"""Shows what was measured, and on what."""

import json
import os
import platform
import sqlite3
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.rounds import Result

RESULTS = Path(__file__).parent / "results.json"


def machine(postgresql: str) -> str:
    """Says what it ran on."""
    cpus = os.cpu_count()
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return (
        f"{cpus} CPUs ({model}), {platform.system()} {platform.release()}; Python {platform.python_version()}, "
        f"grpcio {version('grpcio')}, SQLAlchemy {version('SQLAlchemy')}, psycopg {version('psycopg')}, "
        f"PostgreSQL {postgresql}, SQLite {sqlite3.sqlite_version}"
    )


def show(results: list[Result], parts: list[str], heading: str) -> None:
    """Prints the table and what it was computed from, and writes `results.json`."""
    console = Console()
    table = Table("work", "database", "measured", "limit", "ratio", "target", "holds")
    for column in table.columns[2:]:
        column.justify = "right"
    for result in results:
        digits = 0 if result.work.endswith("(calls/s)") else 3
        bound = "≥" if digits == 0 else "≤"
        table.add_row(
            result.work,
            result.database,
            f"{result.measured:,.{digits}f}",
            f"{result.limit:,.{digits}f}",
            f"{result.ratio:.2f}",
            f"{bound} {result.target}",
            "yes" if result.holds else "NO",
        )
    console.print(heading, table, *parts, sep="\n", highlight=False)
    listed = [asdict(result) for result in results]
    for fields in listed:
        fields["work"] += f", {fields.pop('database')}"
    RESULTS.write_text(json.dumps(listed, indent=2) + "\n")
