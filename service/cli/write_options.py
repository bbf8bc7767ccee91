"""What the writes' commands share: their options, and the question before a change."""

import sys
from contextlib import AbstractContextManager, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from service.cli import printing
from service.cli.output import fail

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The customer's e-mail address.")]
Resume = Annotated[
    str | None,
    typer.Option(
        metavar="RUN_ID",
        help="Go on with a run that broke: repeat its command exactly and add this. What was done is not done again, "
        "and the table and the outcomes are those of the whole run. Good for 24 hours. Without it, every start is a "
        "new run.",
    ),
]
Preview = Annotated[bool, typer.Option("--preview", help="Show what would happen now, and change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not preview and do not ask: for scripts.")]
Note = Annotated[str, typer.Option(metavar="TEXT", help="Why; kept with the operation, up to 500 characters.")]
Outcomes = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write what became of each device: CSV, device_identifier,outcome,reason."),
]
ChunkSize = Annotated[int, typer.Option(metavar="N", min=1, help="How many devices go into one call.")]


def refuse_unattended(*, yes: bool, file: str | None = None) -> None:
    """Ends the command if it would have to ask and the user cannot be asked."""
    if yes:
        return
    if file == "-":
        fail("standard input is the list of devices, so the command cannot ask: add --yes, or use --preview")
    if not printing.is_attended():
        fail("this is no terminal, so the command cannot ask: add --yes, or use --preview")


def for_the_question() -> AbstractContextManager[object]:
    """Shows on standard error what a question is about: standard output is for what was done."""
    return redirect_stdout(sys.stderr)


def ask(question: str) -> None:
    """Asks, on standard error; ends the command unless the answer is yes."""
    if not typer.confirm(question, err=True):
        fail("nothing was changed")
