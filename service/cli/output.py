"""Prints data: a table for people, JSON for programs; and ends a command that could not do its work."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import typer
from rich.cells import cell_len, set_cell_size

from service import config
from service.cli import streams

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

ENVIRONMENT = (
    f"The database is the one that {config.PREFIX}DATABASE_URL names. "
    f"Every other setting is a variable that begins with {config.PREFIX}, too; docs/operate.md lists them."
)
"""Ends the help of every command."""


def fail(text: str) -> NoReturn:
    """Says what went wrong and ends the command with exit code 1."""
    streams.say(f"error: {text}")
    raise typer.Exit(1)


def warn(text: str) -> None:
    """Warns of something that does not stop the command."""
    streams.say(f"warning: {text}")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return "-" if value is None else str(value)


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str = "none") -> None:
    """Prints a list of rows with the same keys, as wide as it comes out: a cut id or key is worth nothing."""
    if as_json:
        print_json(rows)
        return
    if not rows:
        print(empty)
        return
    lines = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (set_cell_size(cell, width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def show_one(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints one thing, a line a value."""
    if as_json:
        print_json(row)
        return
    width = max(map(len, row))
    for name, value in row.items():
        print(f"{name:{width}}  {_text(value)}")


def print_json(value: Any) -> None:
    """Prints a value as JSON, on one line."""
    print(json.dumps(value, ensure_ascii=False, default=_plain))
