"""The end of a caller's patience: it stops what runs, and nothing that runs afterwards."""

import threading
import time

import pytest

from service.domain.cancellation import Cancellation
from service.domain.errors import Cancelled, DeadlineExceeded


def test_without_a_deadline_time_does_not_end_a_call() -> None:
    patient = Cancellation()
    assert patient.remaining() is None
    patient.check()


def test_a_deadline_that_has_passed_ends_a_call() -> None:
    late = Cancellation(time.monotonic() - 1)
    assert late.remaining() == 0
    with pytest.raises(DeadlineExceeded):
        late.check()


def test_the_remaining_time_shrinks() -> None:
    cancellation = Cancellation(time.monotonic() + 3600)
    first = cancellation.remaining()
    second = cancellation.remaining()
    assert first is not None
    assert second is not None
    assert 3000 < second <= first <= 3600
    cancellation.check()


def test_a_cancelled_call_does_not_start_its_work() -> None:
    cancellation = Cancellation()
    assert cancellation.cancel() is False
    worked = []
    with pytest.raises(Cancelled), cancellation.stopping(lambda: None):
        worked.append("never")
    assert worked == []


def test_where_both_ended_a_call_it_is_the_deadline_that_is_told() -> None:
    cancellation = Cancellation(time.monotonic() - 1)
    cancellation.cancel()
    with pytest.raises(DeadlineExceeded):
        cancellation.check()


def test_a_wait_ends_when_its_time_is_over() -> None:
    started = time.monotonic()
    Cancellation().wait(0.1)
    assert time.monotonic() - started >= 0.1


def test_a_wait_ends_with_the_callers_patience() -> None:
    with pytest.raises(DeadlineExceeded):
        Cancellation(time.monotonic() + 0.1).wait(3600)
    cancellation = Cancellation()
    threading.Timer(0.1, cancellation.cancel).start()
    with pytest.raises(Cancelled):
        cancellation.wait(3600)


def test_stop_asks_again_until_the_work_has_ended() -> None:
    cancellation = Cancellation()
    asked = threading.Semaphore(0)
    stopper = threading.Thread(target=cancellation.stop)
    with cancellation.stopping(asked.release):
        assert cancellation.cancel() is True
        stopper.start()
        for _ in range(3):
            assert asked.acquire(timeout=120)
    stopper.join(120)
    assert not stopper.is_alive()


def test_stop_does_nothing_once_the_work_has_ended() -> None:
    cancellation = Cancellation()
    stopped = []
    with cancellation.stopping(lambda: stopped.append("stopped")):
        pass
    cancellation.stop()
    assert cancellation.cancel() is False
    assert stopped == []


def test_the_work_does_not_end_while_it_is_being_stopped() -> None:
    cancellation = Cancellation()
    stopping, let_go, order = threading.Event(), threading.Event(), []

    def stop() -> None:
        stopping.set()
        assert let_go.wait(120)
        order.append("stopped")

    stopper = threading.Thread(target=cancellation.stop)
    with cancellation.stopping(stop):
        stopper.start()
        assert stopping.wait(120)
        threading.Timer(0.05, let_go.set).start()
    order.append("handed on")
    stopper.join(120)
    assert order[:2] == ["stopped", "handed on"]
