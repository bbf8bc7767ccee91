"""`import` and `export`: assignments as CSV."""

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, wrap_file

from service.cli.opened import OrganizationName, opened, organization
from service.cli.output import AsJson, fail, print_json
from service.domain.import_lines import COLUMNS, BadLine, Line, NotAnImport, read_lines
from service.storage import bulk


def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.csv", help=f"CSV in UTF-8 with the columns {','.join(COLUMNS)}; - reads standard input."
        ),
    ],
    org: OrganizationName,
    skip_bad_lines: Annotated[
        bool, typer.Option("--skip-bad-lines", help="Apply the good lines of a bad file.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Assign devices to customers from a file, creating those that are new.

    The whole file is applied in one transaction, as one operation; what is assigned already stays. Every bad line is
    named on standard error, and nothing is applied if there is one.
    """
    with opened() as current:
        found = organization(current, org)
        good, bad = _read(file)
        _report(bad)
        if bad and not skip_bad_lines:
            fail(_refusal(bad))
        try:
            with _busy(f"applying {len(good)} lines"):
                done, disagreeing = bulk.import_lines(current, found.id, good, skip_bad_lines=skip_bad_lines)
        except bulk.BadLines as error:
            _report(error.lines)
            fail(_refusal(error.lines))
    _report(disagreeing)
    summary = {
        "lines": len(good) + len(bad),
        "bad_lines": len(bad) + len(disagreeing),
        "customers_created": done.customers_created,
        "devices_created": done.devices_created,
        "assigned": done.assigned,
        "already_assigned": len(good) - len(disagreeing) - done.assigned,
        "operation_id": done.operation_id,
    }
    if as_json:
        print_json(summary)
        return
    shown = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in summary.items() if value != "")
    print(shown)


def _read(file: Path) -> tuple[list[Line], list[BadLine]]:
    good: list[Line] = []
    bad: list[BadLine] = []
    with _watched(file) as raw:
        for line in read_lines(_decoded(raw)):
            if isinstance(line, Line):
                good.append(line)
            else:
                bad.append(line)
    return good, bad


@contextmanager
def _watched(file: Path) -> Iterator[Iterable[bytes]]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    console = Console(stderr=True)
    description, size = f"reading {file.name}", file.stat().st_size
    with (
        file.open("rb") as raw,
        wrap_file(raw, size, description=description, console=console, disable=not console.is_terminal) as watched,
    ):
        yield io.BufferedReader(cast("io.RawIOBase", watched))


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
    # Line by line, because the error of a larger piece does not name the line.
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode()
        except UnicodeDecodeError:
            raise NotAnImport(f"line {number}: not UTF-8 text; save the file as UTF-8") from None


def _report(lines: list[BadLine]) -> None:
    for line in lines:
        sys.stderr.write(f"line {line.number}: {line.problem}\n")


def _refusal(bad: list[BadLine]) -> str:
    return f"nothing was applied: {len(bad)} bad line(s); mend them, or leave them out with --skip-bad-lines"


def _busy(description: str) -> Progress:
    console = Console(stderr=True)
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    progress.add_task(description, total=None)
    return progress


def export_file(
    org: OrganizationName,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of CSV.")] = False,
) -> None:
    """Print every assignment, as of one moment, as the CSV that `import` reads; with --json, one object a line."""
    with opened() as current:
        found = organization(current, org)
        writer = csv.writer(sys.stdout, lineterminator="\n")
        if not as_json:
            writer.writerow(COLUMNS)
        for row in bulk.export_lines(current, found.id):
            if as_json:
                print_json(dict(zip(COLUMNS, row, strict=True)))
            else:
                writer.writerow(row)
