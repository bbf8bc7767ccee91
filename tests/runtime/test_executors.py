"""Executors: so many calls at once, the others in their order, whatever becomes of one."""

import threading
import time
import weakref
from functools import partial

from service.runtime.executors import FairExecutor
from tests.grpc_server.conftest import eventually


def threads(name: str) -> int:
    """Counts an executor's threads."""
    return sum(thread.name.startswith(f"{name}_") for thread in threading.enumerate())


def _raise(fault: type[BaseException]) -> None:
    raise fault


def test_an_organisation_has_half_of_the_threads_and_the_next_one_half_of_the_rest() -> None:
    executor, go, ran = FairExecutor("fair", 8), threading.Semaphore(0), list[str]()

    def task(name: str) -> None:
        ran.append(name)
        go.acquire()

    for name in "a" * 10 + "b" * 10 + "c" * 10 + "d" * 10:
        executor.run(name, partial(task, name))
    eventually(lambda: len(ran) == 8)
    assert sorted(ran) == [*"aaaa", *"bb", *"c", *"d"]
    assert threads("fair") == 8
    for _ in range(40):
        go.release()
    eventually(lambda: not executor.pending)
    assert sorted(ran) == sorted("a" * 10 + "b" * 10 + "c" * 10 + "d" * 10)
    executor.close()
    eventually(lambda: threads("fair") == 0)


def test_organisations_that_wait_are_served_in_turn() -> None:
    executor, go, ran = FairExecutor("turn", 1), threading.Semaphore(0), list[str]()

    def task(name: str) -> None:
        ran.append(name)
        go.acquire()

    for name in "aaaaaabbc":
        executor.run(name, partial(task, name))
    for _ in range(9):
        go.release()
    eventually(lambda: not executor.pending)
    assert ran == [*"aabcabaaa"]
    executor.close()


def test_large_calls_have_a_quarter_of_the_threads_and_small_ones_pass_them() -> None:
    executor, go, ran = FairExecutor("large", 8), threading.Semaphore(0), list[str]()

    def task(name: str) -> None:
        ran.append(name)
        go.acquire()

    for name in ("a", "a", "b", "b"):
        executor.run(name, partial(task, f"large {name}"), large=True)
    executor.run("a", partial(task, "small a"))
    eventually(lambda: len(ran) == 3)
    assert sorted(ran) == ["large a", "large b", "small a"]
    for _ in range(5):
        go.release()
    eventually(lambda: not executor.pending)
    executor.close()


def test_one_end_starts_all_that_fit_then() -> None:
    executor, ran = FairExecutor("wake", 8), list[str]()
    held = {name: threading.Semaphore(0) for name in "abcde"}

    def task(name: str) -> None:
        ran.append(name)
        held[name].acquire()

    def add(names: str, *, large: bool = False) -> None:
        for name in names:
            executor.run(name, partial(task, name), large=large)

    add("ab", large=True)
    add("edd")
    add("d")
    add("c", large=True)
    eventually(lambda: len(ran) == 5)
    held["a"].release()  # its permit lets d on, and its permit for large calls lets c on
    eventually(lambda: sorted(ran) == [*"abcddde"])
    for name in "bcddde":
        held[name].release()
    eventually(lambda: not executor.pending)
    executor.close()


def test_it_starts_no_thread_before_there_is_something_to_do_for_it() -> None:
    executor = FairExecutor("lazy", 8)
    assert threads("lazy") == 0
    for _ in range(3):
        executor.submit(int)
        eventually(lambda: not executor.pending)
    assert threads("lazy") == 1
    executor.close()


def test_a_call_that_fails_costs_no_thread() -> None:
    executor, done = FairExecutor("broken", 1), list[str]()
    for fault in (ValueError, SystemExit, KeyboardInterrupt):
        executor.submit(_raise, fault)
    executor.submit(done.append, "still here")
    eventually(lambda: done == ["still here"] and not executor.pending)
    executor.close()


def test_it_holds_on_to_nothing_that_is_done() -> None:
    class Call:
        """Something to let go of."""

    executor, given = FairExecutor("free", 1), Call()
    gone = weakref.ref(given)
    executor.submit(lambda _: None, given)
    del given
    eventually(lambda: gone() is None)
    executor.close()


def test_it_ends_when_what_was_given_to_it_is_done() -> None:
    executor, done = FairExecutor("last", 1), list[int]()
    executor.submit(time.sleep, 0.05)
    executor.submit(done.append, 1)
    executor.close()
    eventually(lambda: threads("last") == 0)
    executor.submit(done.append, 2)
    assert done == [1]
    assert not executor.pending
