"""Numbers of several processes: what counts, what is added up, and what is left of a process that has ended."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from service.metrics import numbers
from service.metrics.numbers import Kind, Metric
from tests.grpc_server.conftest import eventually

DONE = numbers.counter("test_done", "Done.", kind=("a", "b", numbers.OTHER))
TOOK = numbers.histogram("test_took_seconds", "Took.", (1.0, 2.0))
OPEN = numbers.gauge("test_open", "Open.")
LATE = numbers.gauge("test_late", "Late.", Kind.MAX)
UP = numbers.gauge("test_up", "Up.", Kind.MIN)
_OURS = (DONE, TOOK, OPEN, LATE, UP)
# Other tests of this process compare the metrics of the service with its documents.
numbers._definitions.metrics[:] = [metric for metric in numbers.defined() if metric not in _OURS]


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has the metrics of these tests among the others, and counts nothing after the test."""
    monkeypatch.setattr(numbers._definitions, "metrics", [*numbers.defined(), *_OURS])
    yield
    numbers.stop()


def read(metric: Metric) -> dict[tuple[str, ...], list[float]]:
    [samples] = [samples for found, samples in numbers.read() if found is metric]
    return {sample.labels: list(sample.numbers) for sample in samples}


def in_process(slot: int, what: str, *, stay: bool = False) -> int:
    """Runs what counts in a forked process. Returns its id; the process has ended unless it stays."""
    pid = os.fork()
    if pid == 0:
        try:
            numbers.use_slot(slot)
            exec(what, globals())  # noqa: S102  # the test's own text
            numbers.write_each_second(lambda: None)
            time.sleep(0.1 if not stay else 60)
        finally:
            os._exit(0)
    if not stay:
        os.waitpid(pid, 0)
    return pid


def test_nothing_is_counted_until_counting_has_begun() -> None:
    DONE.add(1, "a")
    TOOK.observe(1)
    OPEN.set(1)
    numbers.write_each_second(lambda: pytest.fail("nothing is written"))
    assert not numbers.started()
    numbers.start()
    assert read(DONE) == {("a",): [0], ("b",): [0], ("other",): [0]}


def test_a_value_of_a_label_that_is_not_known_counts_as_other() -> None:
    numbers.start()
    for kind in ("a", "a", "of a caller", "of another caller"):
        DONE.add(1, kind)
    assert read(DONE) == {("a",): [2], ("b",): [0], ("other",): [2]}


def test_a_histogram_puts_a_value_at_a_bound_into_the_bucket_of_the_bound() -> None:
    numbers.start()
    for seconds in (0.5, 1.0, 1.5, 2.0, 7.0):
        TOOK.observe(seconds)
    assert read(TOOK) == {(): [2, 2, 1, 12.0]}


@pytest.mark.process
def test_the_numbers_of_all_processes_are_one_and_stay_when_a_process_is_killed() -> None:
    numbers.start(3)
    first = in_process(0, "DONE.add(2, 'a'); TOOK.observe(1); OPEN.set(3); LATE.set(3); UP.set(1)", stay=True)
    second = in_process(1, "DONE.add(5, 'a'); TOOK.observe(9); OPEN.set(4); LATE.set(4); UP.set(0)", stay=True)
    eventually(lambda: read(OPEN) == {(): [7]})
    assert read(LATE) == {(): [4]}
    assert read(UP) == {(): [0]}
    os.kill(second, signal.SIGKILL)
    os.waitpid(second, 0)
    assert read(DONE)["a",] == [7]
    assert read(TOOK) == {(): [1, 0, 1, 10]}
    # The next process of the slot goes on counting, and its gauges are its own.
    again = in_process(1, "DONE.add(1, 'a'); OPEN.set(1)", stay=True)
    eventually(lambda: read(OPEN) == {(): [4]})
    assert read(DONE)["a",] == [8]
    assert read(UP) == {(): [1]}
    for pid in (first, again):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.process
def test_the_gauges_of_a_process_that_has_ended_are_no_longer_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "_FRESH_SECONDS", 2.0)
    numbers.start(2)
    in_process(1, "OPEN.set(4)")
    eventually(lambda: read(OPEN) == {})
