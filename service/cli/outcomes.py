"""What became of many devices: counted for the table, and each in a file."""

import csv
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from service.cli import printing
from service.cli.output import print_json

_SHOWN = 10

Answer = dict[str, Any]
Outcome = tuple[str, str]


@dataclass(slots=True)
class Tally:
    """What became of the devices so far."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    operation_ids: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    last: Answer = field(default_factory=dict)

    def add(self, answer: Answer, outcomes: dict[str, Outcome]) -> None:
        """Counts an answer."""
        self.counts.update(outcomes.values())
        if len(self.skipped) < _SHOWN:
            more = ((device, reason) for device, (outcome, reason) in outcomes.items() if outcome == "skipped")
            self.skipped += itertools.islice(more, _SHOWN - len(self.skipped))
        if answer["operation_id"]:
            self.operation_ids.append(answer["operation_id"])
        # Only the first call of a run creates the customer.
        self.flags.update(name for name, value in answer.items() if name.endswith("was_created") and value)
        self.last = answer

    def total(self, outcome: str) -> int:
        """Counts an outcome, whatever its reason."""
        return sum(number for (found, _), number in self.counts.items() if found == outcome)


def show(tally: Tally, words: Sequence[str], values: dict[str, Any], *, as_json: bool) -> None:
    """Prints what became of the devices: the counts of the outcomes named, and `values`."""
    if as_json:
        totals = {word: tally.total(word) for word in words}
        reasons = {reason: number for (_, reason), number in sorted(tally.counts.items()) if reason}
        flags = dict.fromkeys(sorted(tally.flags), True)
        print_json({**values, **flags, **totals, "reasons": reasons, "operation_ids": tally.operation_ids})
        return
    counts = sorted(tally.counts.items(), key=lambda counted: (words.index(counted[0][0]), counted[0]))
    numbers = {f"{outcome}: {reason}" if reason else outcome: f"{number:,}" for (outcome, reason), number in counts}
    created = {f"new {name.removesuffix('_was_created').removeprefix('to_')}": "yes" for name in sorted(tally.flags)}
    ids = tally.operation_ids
    listed = ids if len(ids) <= _SHOWN else [*ids[:_SHOWN], f"and {len(ids) - _SHOWN} more; --json names all"]
    shown = {**numbers, **created, **values, "operations": listed}
    printing.facts({name.replace("_", " "): value for name, value in shown.items()})
    if tally.skipped:
        print()
        printing.table(("skipped", "reason"), ((device, reason.replace("_", " ")) for device, reason in tally.skipped))
        if (more := tally.total("skipped") - len(tally.skipped)) > 0:
            print(f"and {more:,} more; --outcomes FILE names all")


@contextmanager
def written(file: Path | None) -> Iterator[Callable[[Sequence[str], dict[str, Outcome]], None]]:
    """Opens the file of outcomes before anything is done. Each call's outcomes are in it when the next call is made."""
    if file is None:
        yield lambda _chunk, _found: None
        return
    with file.open("w", encoding="utf-8", newline="") as text:
        yield _writer(text)


def _writer(text: TextIO) -> Callable[[Sequence[str], dict[str, Outcome]], None]:
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("device_identifier", "outcome", "reason"))

    def write(chunk: Sequence[str], found: dict[str, Outcome]) -> None:
        writer.writerows((device, *found[device]) for device in chunk)
        text.flush()

    return write
