"""Counts what a run did and what the checker found, and words it."""

import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.checker import History, Violation, check
from tests.torture.recorder import entries
from tests.torture.rpcs import UNKNOWN_OUTCOMES

_SHOWN_VIOLATIONS = 10


@dataclass
class Figures:
    """What one database's run came to.

    Attributes:
        attempts: by rpc and status.
        rows: by table.
        violations: all that the checker found.
    """

    database: str
    seconds: float = 0.0
    checking_seconds: float = 0.0
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    repeated: int = 0
    unanswered: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    watched: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    def add(self, history: History) -> None:
        """Counts an organisation and checks it."""
        for call in history.calls.values():
            self.attempts.update((call.rpc, attempt.status) for attempt in call.attempts)
            self.repeated += len(call.attempts) > 1
            self.unanswered += call.unknown
        self.rows.update({table: len(rows) for table, rows in history.rows.items()})
        self.watched += len(history.watched)
        begun = time.monotonic()
        self.violations += check(history)
        self.checking_seconds += time.monotonic() - begun


def checked(folder: Path, database: str) -> Figures:
    """Counts and checks the records in a folder."""
    figures = Figures(database)
    faults = list(entries(folder / "faults.jsonl"))
    figures.faults.update(fault["name"] for fault in faults)
    for path in sorted(folder.glob("org*.jsonl")):
        figures.add(History.of(entries(path), faults))
    return figures


def violations(figures: Figures) -> str:
    """Words what is wrong: the first of each kind in full, and how many there are."""
    kinds = Counter(violation.kind for violation in figures.violations)
    shown = [f"[{violation.kind}] {violation.text}" for violation in figures.violations[:_SHOWN_VIOLATIONS]]
    return "\n".join([f"{figures.database}: {sum(kinds.values())} violations: {dict(kinds)}", *shown])


def markdown(all_figures: list[Figures], seed: int) -> str:
    """Words the figures of a run."""
    names = [figures.database for figures in all_figures]
    lines = [
        "| | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
        _row("attempts at calls", [sum(f.attempts.values()) for f in all_figures]),
        _row("calls attempted more than once", [f.repeated for f in all_figures]),
        _row("calls whose outcome stayed unknown", [f.unanswered for f in all_figures]),
        _row("faults", [sum(f.faults.values()) for f in all_figures]),
        _row("operations", [f.rows["operation"] for f in all_figures]),
        _row("operations told by the streams", [f.watched for f in all_figures]),
        _row("revisions of customers", [f.rows["customer_revision"] for f in all_figures]),
        _row("seconds of calls", [round(f.seconds) for f in all_figures]),
        _row("seconds of checking", [round(f.checking_seconds, 1) for f in all_figures]),
        _row("violations", [len(f.violations) for f in all_figures]),
        "",
        f"Seed {seed}, commit {_commit()}.",
        "",
        "Attempts by rpc:",
        "",
        "| rpc | OK | refused | no answer |",
        "|---|---|---|---|",
    ]
    attempts: Counter[tuple[str, str]] = sum((f.attempts for f in all_figures), Counter())
    for rpc in sorted({rpc for rpc, _ in attempts}):
        done = attempts[rpc, "OK"]
        unknown = sum(number for (r, status), number in attempts.items() if r == rpc and status in UNKNOWN_OUTCOMES)
        whole = sum(number for (r, _), number in attempts.items() if r == rpc)
        lines.append(f"| `{rpc}` | {done:,} | {whole - done - unknown:,} | {unknown:,} |")
    lines += ["", "Attempts by status:", "", "| status | attempts |", "|---|---|"]
    statuses: Counter[str] = Counter()
    for (_, status), number in attempts.items():
        statuses[status] += number
    lines += [f"| `{status}` | {number:,} |" for status, number in statuses.most_common()]
    lines += ["", "Faults:", "", "| fault | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    kinds = sorted({kind for f in all_figures for kind in (*f.faults, *f.skipped)})
    lines += [
        _row(kind, ["skipped" if kind in f.skipped else f.faults[kind] or "" for f in all_figures]) for kind in kinds
    ]
    lines += [f"\nSkipped on {f.database}: {kind}: {why}." for f in all_figures for kind, why in f.skipped.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, values: Sequence[float | str]) -> str:
    return f"| {name} | " + " | ".join(f"{value:,}" if not isinstance(value, str) else value for value in values) + " |"


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip() or "unknown"


def write_into(document: Path, text: str) -> None:
    """Puts the figures between the two marks of a document."""
    begin, end = "<!-- figures -->\n", "<!-- end of figures -->\n"
    before, _, rest = document.read_text(encoding="utf-8").partition(begin)
    document.write_text(before + begin + "\n" + text + "\n" + end + rest.partition(end)[2], encoding="utf-8")
