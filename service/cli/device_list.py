"""The devices that a command is about: from its arguments, or from a file of any length."""

import csv
import io
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from service.cli.output import fail
from service.domain import identifiers
from service.domain.identifiers import unique

COLUMN = "device_identifier"
_SHOWN_BAD_LINES = 20

DeviceArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="IDENTIFIER", help="Device identifiers. Put -- before one that begins with a dash."),
]
DeviceFile = Annotated[
    str | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help=f"A file with more devices, in UTF-8: one identifier a line, or CSV with a column {COLUMN}, of which the "
        "other columns do not count. - is standard input.",
    ),
]


def read_devices(given: list[str] | None, file: str | None, outcomes: Path | None = None) -> list[str]:
    """Reads the list, each device once, in its order.

    Ends the command if a line of the file cannot be an identifier: then all such lines are named and nothing is sent.
    """
    listed = given or []
    for text in listed:
        if (problem := _problem(text)) is not None:
            raise typer.BadParameter(f"{text!a} {problem}", param_hint="IDENTIFIER")
    if file is not None:
        listed = listed + _read_file(file)
        # Without its list a run that broke could not be taken up again.
        if outcomes is not None and outcomes.exists() and file != "-" and outcomes.samefile(file):
            raise typer.BadParameter("is the list of devices itself", param_hint="--outcomes")
    if not listed:
        if file is not None:
            fail(f"there are no identifiers in {file}")
        raise typer.BadParameter("name at least one device, or a file with --file", param_hint="IDENTIFIER")
    return unique(listed)


def _read_file(file: str) -> list[str]:
    good: list[str] = []
    bad: list[str] = []
    raw = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115  # closed by the wrapper
    with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
        try:
            for number, value in _values(text):
                if (problem := _problem(value)) is None:
                    good.append(value)
                else:
                    bad.append(f"line {number}: {problem}")
        except csv.Error as error:
            fail(f"{file} cannot be read as CSV: {error}")
        except UnicodeDecodeError:
            fail(f"{file} is not UTF-8 text")
    if bad:
        sys.stderr.writelines(f"{line}\n" for line in bad[:_SHOWN_BAD_LINES])
        fail(f"nothing was sent: {file} has {len(bad)} line(s) that cannot be identifiers")
    return good


def _values(text: io.TextIOWrapper) -> Iterator[tuple[int, str]]:
    """Yields each line's number and value, without white space around it. Empty lines are left out."""
    first = text.readline()
    header = [name.strip() for name in next(csv.reader([first]), [])]
    if COLUMN not in header:
        for number, line in enumerate(itertools.chain([first], text), 1):
            if value := line.strip():
                yield number, value
        return
    index = header.index(COLUMN)
    reader = csv.reader(text, strict=True)
    for row in reader:
        if row:
            yield reader.line_num + 1, row[index].strip() if index < len(row) else ""


def _problem(text: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not UTF-8 text"
    return identifiers.problem(text)
