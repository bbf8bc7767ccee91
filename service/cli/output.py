"""Prints data: a table for people, JSON for programs; and ends a command that could not do its work."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from service import config
from service.storage import schema
from service.storage.database import Database
from service.storage.organizations import Organization, Organizations

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
OrganizationName = Annotated[str, typer.Option("--org", help="The organisation's name or id.")]


def fail(text: str) -> NoReturn:
    """Says what went wrong and ends the command with exit code 1."""
    sys.stderr.write(f"error: {text}\n")
    raise typer.Exit(1)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str = "none") -> None:
    """Prints a list of rows with the same keys."""
    if as_json:
        print_json([{key: _plain(value) for key, value in row.items()} for row in rows])
        return
    if not rows:
        print(empty)
        return
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("-" if value is None else str(_plain(value)) for value in row.values()))
    console = Console()
    # A pipe has no width of its own: nothing is cut or wrapped for one.
    console.print(table, width=None if console.is_terminal else 10_000, highlight=False, markup=False)


def print_json(value: Any) -> None:
    """Prints a value as JSON, on one line."""
    print(json.dumps(value, ensure_ascii=False, default=_plain))


@contextmanager
def opened() -> Iterator[Database]:
    """Opens the database of the settings, if it is at the current step."""
    database = Database(config.load().database_url)
    try:
        schema.check(database)
        yield database
    finally:
        database.close()


def organization(database: Database, name: str) -> Organization:
    """Finds an organisation, or ends the command."""
    found = Organizations(database).named(name)
    return found or fail(f"there is no organisation {name!r}; `device-assignment org list` shows them")
