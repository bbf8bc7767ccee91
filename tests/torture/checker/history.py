"""The record of one organisation, in memory: calls with all their attempts, rows, and what the stream told."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any

from tests.torture.rpcs import UNKNOWN_OUTCOMES

State = dict[str, int]
"""A customer's devices, each with the revision that its assignment began with."""


@dataclass(frozen=True)
class Violation:
    """Something that must not be.

    Attributes:
        kind: which check found it.
        text: what is wrong, for people.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a call, in nanoseconds of the run's clock."""

    start: float
    end: float
    status: str
    reason: str = ""
    details: dict[str, str] = field(default_factory=dict)
    violations: list[list[str]] = field(default_factory=list)
    answer: dict[str, Any] = field(default_factory=dict)
    digest: str = ""


@dataclass(slots=True)
class Call:
    """A request and all attempts at it; all but the first repeat it with the same request id."""

    number: int
    rpc: str
    request: dict[str, Any]
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def answered(self) -> list[Attempt]:
        """The attempts that were answered with OK."""
        return [attempt for attempt in self.attempts if attempt.status == "OK"]

    @property
    def answer(self) -> dict[str, Any] | None:
        """The answer, if there is one."""
        return self.answered[0].answer if self.answered else None

    @property
    def refused(self) -> list[Attempt]:
        """The attempts that promise to have changed nothing."""
        return [a for a in self.attempts if a.status != "OK" and a.status not in UNKNOWN_OUTCOMES]

    @property
    def unknown(self) -> bool:
        """Whether it may have taken effect or not."""
        return not self.answered and len(self.refused) < len(self.attempts)

    @property
    def start(self) -> float:
        """The earliest moment at which it can have taken effect."""
        starts = [attempt.start for attempt in self.attempts if attempt not in self.refused]
        return min(starts, default=inf)

    @property
    def end(self) -> float:
        """The latest moment at which it can have taken effect; never, if its outcome is unknown."""
        return min((attempt.end for attempt in self.answered), default=inf)

    def __str__(self) -> str:
        """Shows it in a violation's text."""
        return f"{self.rpc} (call {self.number}: {self.request} -> {self.answer or 'no answer'})"


@dataclass
class History:
    """An organisation's record.

    Attributes:
        calls: by number.
        rows: by table.
        watched: the operations that the stream told, in order.
        unstable: spans of the database's time, in microseconds, that answers about the past may not agree on, because
            the clock was set back into them.
    """

    organization: dict[str, Any] = field(default_factory=dict)
    calls: dict[int, Call] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    watched: list[dict[str, Any]] = field(default_factory=list)
    unstable: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def of(cls, entries: Iterable[dict[str, Any]], faults: Iterable[dict[str, Any]] = ()) -> "History":
        """Makes it from the entries of an organisation's file and of the file of faults."""
        history = cls()
        for entry in entries:
            match entry["kind"]:
                case "organization":
                    history.organization = entry
                case "call":
                    history._add(entry)
                case "row":
                    history.rows.setdefault(entry["table"], []).append(entry["row"])
                case "watched":
                    history.watched.append(entry["operation"])
        history.unstable = [span for fault in faults if (span := _unstable(fault)) is not None]
        return history

    def _add(self, entry: dict[str, Any]) -> None:
        call = self.calls.setdefault(entry["number"], Call(entry["number"], entry["rpc"], entry["request"]))
        names = ("start", "end", "status", "reason", "details", "violations", "answer", "digest")
        call.attempts.append(Attempt(**{name: entry[name] for name in names if name in entry}))


def _unstable(fault: dict[str, Any]) -> tuple[int, int] | None:
    """Returns the span of time that comes twice, with what the clock needs to be read anew, and the last second."""
    if "unstable_seconds" not in fault:
        return None
    lasted = (fault["end"] - fault["start"]) // 1_000
    before, after = (int(seconds * 1_000_000) for seconds in (fault["unstable_seconds"] + 2, 3))
    return fault["wall"] - before, fault["wall"] + lasted + after


def revision(token: str) -> tuple[str, int]:
    """Reads a revision: the customer's id and the number."""
    kind, customer, number = token.split("_")
    if kind != "rev":
        raise ValueError(token)
    return f"cust_{customer}", int(number)


def unique(values: Iterable[str]) -> list[str]:
    """Names each once, in the order of the first."""
    return list(dict.fromkeys(values))
