"""Checks each customer's answers: exact at the revision that they name, and in an order that time allows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.torture.checker.history import State, Violation
from tests.torture.checker.tables import Replay

Rule = Callable[[State, State, int], str]
"""Takes the states before and after, and the revision after. Returns what is wrong with the answer, or nothing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one call says about one customer.

    Attributes:
        revision: the one that it made or saw; None if it does not say.
        wrote: whether it made it.
        rule: what holds of it.
        what: shows the call.
    """

    start: float
    end: float
    customer_id: str
    revision: int | None
    wrote: bool
    rule: Rule
    what: Any


def check_customer(customer_id: str, seen: list[Seen], replay: Replay) -> list[Violation]:
    """Checks all that was said about a customer. Takes the writes whose calls got no answer too, with no end."""
    states, found = replay.states[customer_id], []
    # No version can be seen before the calls that made it and the ones before it have begun.
    begun = [0.0] * len(states)
    for each in seen:
        if each.wrote and each.revision is not None and each.revision < len(states):
            begun[each.revision] = max(begun[each.revision], each.start)
    for number in range(1, len(begun)):
        begun[number] = max(begun[number], begun[number - 1])

    by_end = sorted(range(len(seen)), key=lambda index: seen[index].end)
    places: dict[int, int] = {}  # of each call, twice its revision, and one more if it only saw it
    newest, newest_of, ended = 0, -1, 0
    for index in sorted(range(len(seen)), key=lambda index: seen[index].start):
        each = seen[index]
        while ended < len(by_end) and seen[by_end[ended]].end < each.start:
            place = places.get(by_end[ended], 0)
            if place > newest:
                newest, newest_of = place, by_end[ended]
            ended += 1
        if each.revision is None:
            place, wrong = _fit(each, states, begun, newest)
        else:
            place, wrong = _named(each, each.revision, states, begun)
            if not wrong and place < newest:
                wrong = f"it is older than what this call, which had ended before, saw or made: {seen[newest_of].what}"
        places[index] = place
        if wrong:
            found.append(Violation("customer", f"{customer_id}: {each.what}: {wrong}"))
    return found


def _named(each: Seen, revision: int, states: list[State], begun: list[float]) -> tuple[int, str]:
    if revision >= len(states):
        return 0, f"its revision {revision} is lost: the database's last is {len(states) - 1}"
    if begun[revision] > each.end:
        return 0, f"its revision {revision} was made by a call that began only after this one had ended"
    before = states[revision - 1] if each.wrote else states[revision]
    return 2 * revision + (not each.wrote), each.rule(before, states[revision], revision)


def _fit(each: Seen, states: list[State], begun: list[float], newest: int) -> tuple[int, str]:
    """Finds the oldest version that the answer fits and that time allows."""
    first, wrong = newest // 2, "there was no such state"
    for revision in range(first, len(states)):
        if begun[revision] > each.end:
            break
        wrong = each.rule(states[revision], states[revision], revision)
        if not wrong:
            return 2 * revision + 1, ""
    return 0, f"no revision from {first} on that was there in time fits: {wrong}"
