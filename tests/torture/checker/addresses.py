"""Checks who held which address: searches for an order of the calls that explains every answer about it.

The search follows Wing and Gong in the form of Lowe: calls are taken in the order of time, and every configuration that
the calls so far allow is kept, each once. A configuration is who holds the addresses, and which of the calls that are
still open have taken effect in it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

from tests.torture.checker.history import Violation

Holders = tuple[str, ...]
"""The customer who holds each address of a group; empty where nobody does."""

Effect = Callable[[Holders], Holders | None]
"""Takes the holders before a call. Returns those after it, or None if it cannot have been answered so then."""

Configuration = tuple[Holders, frozenset[int]]


@dataclass(frozen=True, slots=True)
class Said:
    """What one call says about the addresses of a group.

    Attributes:
        effect: what it does to the holders.
        changes: whether it can change them.
        what: shows the call.
    """

    start: float
    end: float
    effect: Effect
    changes: bool
    what: Any


def held_by(place: int, customer_id: str) -> Effect:
    """The address was the customer's."""
    return lambda holders: holders if holders[place] == customer_id else None


def free(place: int) -> Effect:
    """Nobody had the address."""
    return lambda holders: None if holders[place] else holders


def taken(place: int, but_by: str = "") -> Effect:
    """Somebody had the address, and not this customer."""
    return lambda holders: holders if holders[place] not in {"", but_by} else None


def created(place: int, customer_id: str) -> Effect:
    """Nobody had the address, and then a new customer."""

    def effect(holders: Holders) -> Holders | None:
        if holders[place] or customer_id in holders:
            return None
        return (*holders[:place], customer_id, *holders[place + 1 :])

    return effect


def moved(place: int | None, customer_id: str) -> Effect:
    """The customer got the address, which no other had, or one outside of the group."""

    def effect(holders: Holders) -> Holders | None:
        if place is not None and holders[place] not in {"", customer_id}:
            return None
        left = ["" if holder == customer_id else holder for holder in holders]
        if place is not None:
            left[place] = customer_id
        return tuple(left)

    return effect


def check_group(said: list[Said], places: int) -> list[Violation]:
    """Searches for an order, given all that was said about a group of so many addresses, which are free at first."""
    search = _Search(said)
    configurations: set[Configuration] = {(("",) * places, frozenset())}
    for index, is_end in _events(said):
        if not is_end:
            search.open.add(index)
            configurations = {search.with_reads(each) for each in configurations}
            continue
        after = search.take_effect(configurations, index)
        search.open.discard(index)
        if not after:
            holders = sorted({configuration[0] for configuration in configurations})
            return [Violation("address", f"no order of the calls explains {said[index].what}; before: {holders}")]
        configurations = after
    return []


def _events(said: list[Said]) -> Iterator[tuple[int, bool]]:
    """Returns the starts and the ends in the order of time; calls that touch are taken to overlap."""
    starts = [(each.start, 0, index) for index, each in enumerate(said)]
    ends = [(each.end, 1, index) for index, each in enumerate(said) if each.end < inf]
    for _, kind, index in sorted(starts + ends):
        yield index, kind == 1


class _Search:
    def __init__(self, said: list[Said]) -> None:
        self._said = said
        self.open: set[int] = set()

    def with_reads(self, configuration: Configuration) -> Configuration:
        """Has all open calls that change nothing and fit take effect now: that never closes a way."""
        holders, done = configuration
        fit = {
            index
            for index in self.open - done
            if not self._said[index].changes and self._said[index].effect(holders) is not None
        }
        return (holders, done | fit) if fit else configuration

    def take_effect(self, configurations: set[Configuration], wanted: int) -> set[Configuration]:
        """Finds every configuration in which a call has taken effect, and forgets the call there."""
        reached: set[Configuration] = set()
        visited = set(configurations)
        waiting = list(configurations)
        while waiting:
            holders, done = waiting.pop()
            if wanted in done:
                reached.add((holders, done - {wanted}))
                continue
            for index in self.open - done:
                if not self._said[index].changes:
                    continue
                after = self._said[index].effect(holders)
                if after is None:
                    continue
                next_ = self.with_reads((after, done | {index}))
                if next_ not in visited:
                    visited.add(next_)
                    waiting.append(next_)
        return self._without_worse(reached)

    def _without_worse(self, configurations: set[Configuration]) -> set[Configuration]:
        """Leaves out those where more of the calls without an answer have taken effect than in another, for nothing."""
        best: dict[tuple[Holders, frozenset[int]], list[frozenset[int]]] = {}
        for holders, done in sorted(configurations, key=lambda each: len(each[1])):
            endless = frozenset(index for index in done if self._said[index].end == inf and self._said[index].changes)
            kept = best.setdefault((holders, done - endless), [])
            if not any(other <= endless for other in kept):
                kept.append(endless)
        return {(holders, done | endless) for (holders, done), kept in best.items() for endless in kept}
