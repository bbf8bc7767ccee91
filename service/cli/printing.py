"""Prints what a server answered: tables, in which control characters are shown, and one JSON object a line."""

import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.runtime.terminal import visible


def table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints rows under their columns' names."""
    # As `Text`: in a string rich would take [x] for markup and :ab:, which a MAC address may well have, for an emoji.
    made = Table(*names, box=None, pad_edge=False)
    for row in rows:
        made.add_row(*(Text(visible(str(value))) for value in row))
    _print(made)


def facts(values: Mapping[str, object]) -> None:
    """Prints names and values, one pair a line; a value that is empty is left out."""
    made = Table.grid(padding=(0, 2))
    for name, value in values.items():
        if value not in ("", None, []):
            listed = value if isinstance(value, list) else [value]
            made.add_row(Text(name), Text("\n".join(visible(str(one)) for one in listed)))
    _print(made)


def _print(made: Table) -> None:
    # Wider than any line: an id that was cut or folded could not be copied. A terminal wraps what is too long for it.
    console = Console(width=100_000)
    with console.capture() as captured:
        console.print(made)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().split("\n")[:-1])


def word(name: str, prefix: str) -> str:
    """Shortens an enum's name: `SKIP_REASON_NOT_ASSIGNED` is `not_assigned`."""
    return name.removeprefix(prefix).lower()


def is_attended() -> bool:
    """Returns whether standard input and output are a terminal, so that the user can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
