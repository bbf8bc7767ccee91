"""Runs a write over many devices: calls of a bearable size, a preview, progress, and what became of it."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from service.cli import printing, run_id
from service.cli.outcomes import Answer, Outcome, Tally, show, written
from service.grpc_client.client import Client
from service.grpc_client.failure import CallFailed


@dataclass(frozen=True, slots=True)
class Work:
    """What to do.

    Attributes:
        method: the rpc, which takes `device_identifiers`.
        fields: what else it takes.
        devices: the devices, each once.
        chunk: how many go into a call.
        doing: names it in the progress bar.
        words: the outcomes that there are.
        outcomes: returns each device's outcome in an answer: a word, and a reason or nothing.
        totals: returns the totals of the whole from the last answer.
    """

    method: str
    fields: dict[str, Any]
    devices: list[str]
    chunk: int
    doing: str
    words: tuple[str, ...]
    outcomes: Callable[[Answer], dict[str, Outcome]]
    totals: Callable[[Answer], dict[str, Any]]

    @property
    def calls(self) -> int:
        """How many calls it takes."""
        return len(run_id.chunks(self.devices, self.chunk))

    def content(self) -> list[object]:
        """Says all that makes two runs the same."""
        return [self.method, sorted(self.fields.items()), self.chunk, self.devices]


def begun(work: Work, resume: str | None) -> UUID:
    """Names the run: a new one, or the one to go on with."""
    try:
        return run_id.begin(work.content()) if resume is None else run_id.take_up(resume, work.content())
    except run_id.NotThisRun as error:
        raise typer.BadParameter(str(error), param_hint="--resume") from None


def preview(client: Client, work: Work, *, as_json: bool, resumed: bool = False) -> None:
    """Shows what the run would do."""
    tally = Tally()
    with _progress("looking", len(work.devices)) as advance:
        for chunk in run_id.chunks(work.devices, work.chunk):
            answer = _call(client, work, chunk, validate_only=True)
            tally.add(answer, work.outcomes(answer))
            advance(len(chunk))
    done = "; what the run has done already shows as nothing to do" if resumed else ""
    sys.stderr.write(f"Preview: this would happen now{done}.\n")
    # Each answer counts as if the other calls were not made, so there is no total to show.
    show(tally, work.words, {"preview": True} if as_json else {}, as_json=as_json)


def perform(client: Client, work: Work, run: UUID, *, outcomes: Path | None, as_json: bool) -> None:
    """Does it, and shows what became of it."""
    cut = run_id.chunks(work.devices, work.chunk)
    sys.stderr.write(f"Run id {run}. Should the run break, repeat the command and add --resume with this id.\n")
    tally = Tally()
    done = 0
    try:
        with written(outcomes) as write, _progress(work.doing, len(work.devices)) as advance:
            for index, chunk in enumerate(cut):
                answer = _call(client, work, chunk, request_id=run_id.request_id(run, index))
                found = work.outcomes(answer)
                tally.add(answer, found)
                write(chunk, found)
                done += 1
                advance(len(chunk))
    except (CallFailed, KeyboardInterrupt, OSError) as broken:
        # A first call that was refused has begun nothing.
        if done or not isinstance(broken, CallFailed) or broken.uncertain:
            sys.stderr.write(f"Stopped after {done} of {len(cut)} call(s). To go on, add --resume {run}\n")
        if isinstance(broken, KeyboardInterrupt):
            raise typer.Exit(1) from None
        raise
    show(tally, work.words, {"run_id": str(run), **work.totals(tally.last)}, as_json=as_json)


def _call(client: Client, work: Work, chunk: list[str], **options: Any) -> Answer:
    try:
        return client.call(work.method, **work.fields, device_identifiers=chunk, **options)
    except CallFailed as failed:
        failed.violations = [(_named(place, chunk), _word(text)) for place, text in failed.violations]
        raise


def _word(text: str) -> str:
    prefix = "SKIP_REASON_"
    return printing.word(text, prefix) if text.startswith(prefix) else text


def _named(place: str, chunk: list[str]) -> str:
    """Names the device instead of its place in a call that the operator does not see."""
    found = re.fullmatch(r"device_identifiers\[(\d+)]", place)
    return chunk[int(found[1])] if found else place


@contextmanager
def _progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        yield lambda number: progress.advance(task, number)
