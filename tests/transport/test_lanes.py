"""Lanes: so many calls at once, the others in their order, whatever becomes of one."""

import threading
import time
import weakref

from service.transport.lanes import Lane
from tests.transport.conftest import eventually


def threads(name: str) -> int:
    """Counts a lane's threads."""
    return sum(thread.name.startswith(f"{name}_") for thread in threading.enumerate())


def _raise(fault: type[BaseException]) -> None:
    raise fault


def test_it_runs_so_many_at_once_has_the_others_wait_and_says_when_it_is_full() -> None:
    lane, go, order = Lane("two", 2, 1), threading.Semaphore(0), list[int]()
    lane.submit(go.acquire)
    lane.submit(go.acquire)
    full = [lane.full]
    lane.submit(order.append, 3)
    full.append(lane.full)
    assert full == [False, True]
    time.sleep(0.05)
    assert threads("two") == 2
    assert not order
    go.release()
    eventually(lambda: order == [3])
    go.release()
    eventually(lambda: lane.idle)
    lane.close()
    eventually(lambda: threads("two") == 0)


def test_it_starts_no_thread_before_there_is_something_to_do_for_it() -> None:
    lane = Lane("lazy", 8, 10)
    assert threads("lazy") == 0
    for _ in range(3):
        lane.submit(int)
        eventually(lambda: lane.idle)
    assert threads("lazy") == 1
    lane.close()


def test_a_call_that_fails_costs_no_thread() -> None:
    lane, done = Lane("broken", 1, 10), list[str]()
    for fault in (ValueError, SystemExit, KeyboardInterrupt):
        lane.submit(_raise, fault)
    lane.submit(done.append, "still here")
    eventually(lambda: done == ["still here"] and lane.idle)
    lane.close()


def test_it_holds_on_to_nothing_that_is_done() -> None:
    class Call:
        """Something to let go of."""

    lane, given = Lane("free", 1, 10), Call()
    gone = weakref.ref(given)
    lane.submit(lambda _: None, given)
    del given
    eventually(lambda: gone() is None)
    lane.close()


def test_it_ends_when_what_was_given_to_it_is_done() -> None:
    lane, done = Lane("last", 1, 10), list[int]()
    lane.submit(time.sleep, 0.05)
    lane.submit(done.append, 1)
    lane.close()
    eventually(lambda: threads("last") == 0)
    lane.submit(done.append, 2)
    assert done == [1]
    assert lane.idle
