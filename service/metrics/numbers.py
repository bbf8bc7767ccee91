"""Counters, gauges and histograms in memory that the processes of one server share.

Each process has a slot of the memory and writes to no other, so counting needs no lock between processes. Whichever
process is asked adds the slots up. The memory is anonymous: nothing of it is left when the processes have ended, and
what a process has counted stays when it dies. prometheus-client's own counters take several times as long for a call,
and keep files for several processes (docs/decisions/metrics.md has the figures).
"""

import math
import mmap
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import Any, TypeAlias

OTHER = "other"
"""The value of a label that stands for all values that are not known beforehand."""

# A process that has not written its gauges for this long has ended, or hangs.
_FRESH_SECONDS = 15.0
_WRITE_SECONDS = 1.0
_CELL_BYTES = 8


class Kind(Enum):
    """What a metric is, and for a gauge how those of several processes become one."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    SUM = "sum"
    MAX = "max"
    MIN = "min"


Values = tuple[str, ...]
Cells: TypeAlias = "memoryview[float]"


@dataclass(frozen=True, slots=True)
class Sample:
    """The numbers of one combination of labels: one, or for a histogram the buckets and the sum."""

    labels: Values
    numbers: Sequence[float]


class Metric:
    """A metric with all its combinations of labels, which are known when it is defined.

    Attributes:
        name: its name, without the prefix.
        text: what it is, for people.
        kind: what it is.
        labels: the names of its labels.
        bounds: the upper bounds of a histogram's buckets.
    """

    def __init__(
        self, name: str, text: str, kind: Kind, labels: dict[str, Iterable[str]], bounds: Sequence[float] = ()
    ) -> None:
        self.name = name
        self.text = text
        self.kind = kind
        self.labels = tuple(labels)
        self.bounds = tuple(bounds)
        # A histogram has a cell for each bucket, the last without a bound, and one for the sum.
        self._width = len(bounds) + 2 if bounds else 1
        combinations = list(product(*labels.values()))
        first = _definitions.reserve(self, len(combinations) * self._width)
        self._cells = {combination: first + number * self._width for number, combination in enumerate(combinations)}

    def add(self, amount: float = 1, *labels: str) -> None:
        """Adds to a counter. A label's value that is not known beforehand counts as `OTHER`."""
        cells = _process.cells
        if cells is not None:
            cell = self._cells.get(labels)
            if cell is None:
                cell = self._other(labels)
            with _process.lock:
                cells[cell] += amount

    def observe(self, value: float, *labels: str) -> None:
        """Adds a value to a histogram."""
        cells = _process.cells
        if cells is not None:
            cell = self._cells.get(labels)
            if cell is None:
                cell = self._other(labels)
            with _process.lock:
                cells[cell + bisect_left(self.bounds, value)] += 1
                cells[cell + self._width - 1] += value

    def set(self, value: float, *labels: str) -> None:
        """Sets a gauge."""
        cells = _process.cells
        if cells is not None:
            cells[self._cells[labels]] = value

    def _other(self, labels: Values) -> int:
        known = [{combination[place] for combination in self._cells} for place in range(len(labels))]
        return self._cells[tuple(value if value in known[place] else OTHER for place, value in enumerate(labels))]

    def samples(self, slots: Sequence[Cells], fresh: Sequence[Cells]) -> list[Sample]:
        """Adds the slots up. Gauges are those of the processes that live; one that none has set has no sample."""
        if self.kind in {Kind.COUNTER, Kind.HISTOGRAM}:
            return [
                Sample(labels, [sum(slot[cell] for slot in slots) for cell in range(first, first + self._width)])
                for labels, first in self._cells.items()
            ]
        combine: Any = {Kind.SUM: sum, Kind.MAX: max, Kind.MIN: min}[self.kind]
        found = {
            labels: [value for value in (slot[cell] for slot in fresh) if not math.isnan(value)]
            for labels, cell in self._cells.items()
        }
        return [Sample(labels, [combine(values)]) for labels, values in found.items() if values]

    def clear(self, cells: Cells) -> None:
        """Removes the gauges that an earlier process of a slot has set."""
        if self.kind not in {Kind.COUNTER, Kind.HISTOGRAM}:
            for cell in self._cells.values():
                cells[cell] = math.nan


class _Definitions:
    """All metrics, and how many cells of a slot they take."""

    def __init__(self) -> None:
        self.metrics: list[Metric] = []
        self.size = 1  # the first cell has the time at which the gauges were written

    def reserve(self, metric: Metric, cells: int) -> int:
        """Reserves cells. Returns the first."""
        if _process.slots:
            raise RuntimeError(f"the metric {metric.name} is defined after counting has begun")
        first = self.size
        self.metrics.append(metric)
        self.size += cells
        return first


class _Process:
    """What this process counts into."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.cells: Cells | None = None
        self.slots: list[Cells] = []
        self.writers: list[Callable[[], None]] = []
        self.thread: threading.Thread | None = None


_definitions = _Definitions()
_process = _Process()


def counter(name: str, text: str, **labels: Iterable[str]) -> Metric:
    """Defines a number that only grows. `labels` has the values of each label."""
    return Metric(name, text, Kind.COUNTER, labels)


def histogram(name: str, text: str, bounds: Sequence[float], **labels: Iterable[str]) -> Metric:
    """Defines a distribution; `bounds` are the upper bounds of its buckets."""
    return Metric(name, text, Kind.HISTOGRAM, labels, bounds)


def gauge(name: str, text: str, combined: Kind = Kind.SUM, **labels: Iterable[str]) -> Metric:
    """Defines a number that goes up and down; `combined` says how those of several processes become one."""
    return Metric(name, text, combined, labels)


def defined() -> list[Metric]:
    """Lists the metrics of the modules that are loaded."""
    return list(_definitions.metrics)


def start(processes: int = 1) -> None:
    """Begins to count in this process, and makes memory for as many as will be forked from it.

    Metrics that are defined later are not counted, so what defines one is loaded before.
    """
    slot_bytes = _definitions.size * _CELL_BYTES
    memory = memoryview(mmap.mmap(-1, processes * slot_bytes))
    _process.slots = [memory[at : at + slot_bytes].cast("d") for at in range(0, processes * slot_bytes, slot_bytes)]
    use_slot(0)


def use_slot(number: int) -> None:
    """Counts into a slot from now on, which no other process that lives uses. Does nothing before `start`."""
    if _process.slots:
        cells = _process.slots[number]
        cells[0] = 0.0
        for metric in _definitions.metrics:
            metric.clear(cells)
        _process.cells = cells


def started() -> bool:
    """Returns whether anything is counted."""
    return _process.cells is not None


def stop() -> None:
    """Counts nothing from now on."""
    _process.cells, _process.slots, _process.thread = None, [], None
    _process.writers.clear()


def write_each_second(writer: Callable[[], None]) -> None:
    """Calls a function each second, on a thread of its own, that sets gauges. It must not wait for anything."""
    if _process.cells is None:
        return
    _process.writers.append(writer)
    if _process.thread is None:
        _process.thread = threading.Thread(target=_write, args=(_process.cells,), name="metrics", daemon=True)
        _process.thread.start()


def _write(cells: Cells) -> None:
    while _process.cells is cells:
        for writer in list(_process.writers):
            writer()
        cells[0] = time.monotonic()
        time.sleep(_WRITE_SECONDS)


def read() -> list[tuple[Metric, list[Sample]]]:
    """Returns all numbers of all processes."""
    since = time.monotonic() - _FRESH_SECONDS
    fresh = [slot for slot in _process.slots if slot[0] > since]
    return [(metric, metric.samples(_process.slots, fresh)) for metric in _definitions.metrics]
