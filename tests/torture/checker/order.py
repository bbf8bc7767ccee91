"""Checks that the calls of all customers together can have happened one after the other, in an order time allows."""

from bisect import bisect_left
from collections import defaultdict, deque
from itertools import pairwise
from math import inf

from tests.torture.checker.customers import Seen
from tests.torture.checker.history import Violation


def check_order(seen: dict[int, list[Seen]]) -> list[Violation]:
    """Looks for a cycle among the calls, given what each says about its customers, by the call's number."""
    numbers = sorted(seen)
    later: dict[int, list[int]] = defaultdict(list)
    spans = [(min(s.start for s in seen[number]), min(s.end for s in seen[number])) for number in numbers]
    moments = _add_times(spans, later)
    _add_versions([seen[number] for number in numbers], later)
    stuck = _stuck(len(numbers) + moments, later)
    if not stuck:
        return []
    cycle = [node for node in _cycle(stuck, later) if node < len(numbers)]
    calls = "; before ".join(str(seen[numbers[node]][0].what) for node in cycle)
    text = f"each of these calls must have come before the next, and the last before the first: {calls}"
    return [Violation("order", text)]


def _add_times(spans: list[tuple[float, float]], later: dict[int, list[int]]) -> int:
    """Adds a node for each end, in a chain; a call follows the last end before its start. Returns their number."""
    ends = sorted({end for _, end in spans if end != inf})
    node = {end: len(spans) + index for index, end in enumerate(ends)}
    for earlier, next_ in pairwise(ends):
        later[node[earlier]].append(node[next_])
    for index, (start, end) in enumerate(spans):
        if end in node:
            later[index].append(node[end])
        if before := bisect_left(ends, start):
            later[node[ends[before - 1]]].append(index)
    return len(ends)


def _add_versions(calls: list[list[Seen]], later: dict[int, list[int]]) -> None:
    """Has the call that made a version come before those that saw it, and all of them before the next one's."""
    made: dict[tuple[str, int], int] = {}
    saw: dict[tuple[str, int], list[int]] = defaultdict(list)
    for index, seen in enumerate(calls):
        for each in seen:
            if each.revision is not None and each.wrote:
                made[each.customer_id, each.revision] = index
            elif each.revision is not None:
                saw[each.customer_id, each.revision].append(index)
    for (customer_id, revision), maker in made.items():
        later[maker] += [reader for reader in saw.get((customer_id, revision), ()) if reader != maker]
        before = (customer_id, revision - 1)
        for earlier in (made.get(before), *saw.get(before, ())):
            if earlier is not None and earlier != maker:
                later[earlier].append(maker)


def _stuck(count: int, later: dict[int, list[int]]) -> set[int]:
    """Takes away every node that nothing comes before, again and again. Returns what is left: cycles and their ends."""
    waits = [0] * count
    for nodes in later.values():
        for node in nodes:
            waits[node] += 1
    free = deque(node for node in range(count) if not waits[node])
    left = set(range(count))
    while free:
        node = free.popleft()
        left.discard(node)
        for next_ in later.get(node, ()):
            waits[next_] -= 1
            if not waits[next_]:
                free.append(next_)
    return left


def _cycle(stuck: set[int], later: dict[int, list[int]]) -> list[int]:
    """Walks backwards, which never ends among these nodes, until one comes again."""
    earlier: dict[int, int] = {}
    for node in stuck:
        for next_ in later.get(node, ()):
            if next_ in stuck:
                earlier[next_] = node
    node, walked = next(iter(stuck)), []
    while node not in walked:
        walked.append(node)
        node = earlier[node]
    return walked[walked.index(node) :][::-1]
