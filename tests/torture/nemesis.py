"""Injects faults, one after the other, and waits after each until the service answers again."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.torture.clients import Progress
from tests.torture.faults import Fault
from tests.torture.recorder import Recorder, now
from tests.torture.stage import Size

_RECOVERY_SECONDS = 120.0
_ANSWERS_AFTER_A_FAULT = 5


class NotRecovered(Exception):
    """The service did not answer again after a fault had ended."""


class Nemesis:
    """Spreads faults over the calls of a run.

    Args:
        faults: those that can be done here.
        size: how many, over how many calls.
        progress: what the clients have done.
        organizations: the names of those that must get answers again after each fault.
        recorder: takes down every fault.
        chance: chooses.
        say: is told of each fault.
    """

    def __init__(
        self,
        faults: list[Fault],
        size: Size,
        progress: Progress,
        organizations: Sequence[str],
        *,
        recorder: Recorder,
        chance: random.Random,
        say: Callable[[str], None],
    ) -> None:
        self._faults, self._size, self._progress = faults, size, progress
        self._organizations, self._recorder = organizations, recorder
        self._chance, self._say = chance, say
        self._until = time.monotonic() + size.most_seconds
        self.injected: Counter[str] = Counter()

    def torture(self) -> None:
        """Injects all faults and waits for the last call. Raises `NotRecovered`."""
        order: list[Fault] = []
        for number in range(self._size.faults):
            # Every kind comes once before one comes again.
            order = order or self._chance.sample(self._faults, len(self._faults))
            self._wait_for_calls(number * self._size.calls // self._size.faults)
            if time.monotonic() > self._until:
                return
            self._inject(order.pop(), number)
        self._wait_for_calls(self._size.calls)

    def _inject(self, fault: Fault, number: int) -> None:
        self._say(f"fault {number + 1} of {self._size.faults}: {fault.name} ({self._progress.calls} calls)")
        started, wall = now(), time.time_ns() // 1000
        details = fault.begin()
        time.sleep(self._chance.uniform(*fault.seconds))
        fault.end()
        self._recorder.write("fault", name=fault.name, start=started, end=now(), wall=wall, **details)
        self.injected[fault.name] += 1
        self._wait_for_answers(fault.name)

    def _wait_for_answers(self, after: str) -> None:
        before = dict(self._progress.answered)
        until = time.monotonic() + _RECOVERY_SECONDS
        for name in self._organizations:
            while self._progress.answered[name] < before.get(name, 0) + _ANSWERS_AFTER_A_FAULT:
                self._look()
                if time.monotonic() > until:
                    raise NotRecovered(f"no calls of {name} were answered for {_RECOVERY_SECONDS:.0f} s after: {after}")
                time.sleep(0.02)

    def _wait_for_calls(self, calls: int) -> None:
        while self._progress.calls < calls and time.monotonic() < self._until:
            self._look()
            time.sleep(0.02)

    def _look(self) -> None:
        if self._progress.broken:
            raise self._progress.broken[0]
