"""Events of unauthenticated connections are paced: how many come, in which order, and how much time others have."""

import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from service.rest_gateway import time_budget
from service.rest_gateway.paced_selector import PacedSelector
from service.rest_gateway.paced_socket import PacedSocket

Pair = tuple[socket.socket, socket.socket]


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Returns seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def selector(clock: Clock) -> Iterator[PacedSelector]:
    """A selector."""
    made = PacedSelector(clock)
    yield made
    made.close()


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Connections, each with something to read at its first end."""
    with ExitStack() as opened:
        made = [socket.socketpair() for _ in range(6)]
        for ends in made:
            for end in ends:
                opened.enter_context(end)
            ends[1].send(b"x")
        yield made


def add(selector: PacedSelector, pairs: list[Pair]) -> list[PacedSocket]:
    """Adds and registers connections."""
    added = []
    for ours, _ in pairs:
        added.append(selector.add(ours.fileno()))
        selector.register(ours.fileno(), selectors.EVENT_READ, "paced")
    return added


def iterate(selector: PacedSelector, clock: Clock, count: int, spent: float = 0.0) -> list[list[int]]:
    """Runs iterations of a loop, each of which takes `spent` seconds. Returns the file descriptors of each."""
    found = []
    for _ in range(count):
        found.append([key.fd for key, _ in selector.select(0)])
        clock.now += spent
    return found


def served(selector: PacedSelector, clock: Clock, count: int) -> list[int]:
    """Runs short iterations. Returns all file descriptors in order."""
    return [fd for found in iterate(selector, clock, count, 1e-6) for fd in found]


def test_an_iteration_has_one_paced_event_and_all_others(
    selector: PacedSelector, clock: Clock, pairs: list[Pair]
) -> None:
    add(selector, pairs[:4])
    others = [ours.fileno() for ours, _ in pairs[4:]]
    for fd in others:
        selector.register(fd, selectors.EVENT_READ)
    for found in iterate(selector, clock, 20):
        assert len(found) == 3
        assert set(others) < set(found)


def test_the_socket_that_was_served_longest_ago_is_next(
    selector: PacedSelector, clock: Clock, pairs: list[Pair]
) -> None:
    add(selector, pairs[:4])
    order = [ours.fileno() for ours, _ in pairs[:4]]
    assert served(selector, clock, 6) == [*order, *order[:2]]
    # A new socket is before all others, and then waits like them.
    add(selector, pairs[4:5])
    assert served(selector, clock, 6) == [pairs[4][0].fileno(), *order[2:], *order[:2], pairs[4][0].fileno()]


@pytest.mark.parametrize("spent", [0.0001, 0.004])
def test_paced_events_take_half_of_the_time_at_most_whatever_they_cost(
    selector: PacedSelector, clock: Clock, pairs: list[Pair], spent: float
) -> None:
    add(selector, pairs)
    count = int(2 / spent)
    had = sum(len(found) for found in iterate(selector, clock, count, spent))
    assert count // 10 < had <= count // 2 + 0.01 / spent + 3


def test_an_authenticated_connection_is_not_paced(selector: PacedSelector, clock: Clock, pairs: list[Pair]) -> None:
    added = add(selector, pairs[:3])
    authenticated = pairs[1][0].fileno()
    added[1].set_authenticated(authenticated=True)
    assert all(authenticated in found for found in iterate(selector, clock, 5))
    assert selector.get_key(authenticated).data == "paced"
    added[1].set_authenticated(authenticated=False)
    assert sum(authenticated in found for found in iterate(selector, clock, 6)) == 2


def test_a_valid_key_refunds_the_time_of_the_events_before_it(
    selector: PacedSelector, clock: Clock, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_budget, "BURST_SECONDS", 0.0)
    first, second = add(selector, pairs[:2])
    found = iterate(selector, clock, 4, 0.004)
    assert found == [[pairs[0][0].fileno()], [], [], []]  # from now on there is a pause
    second.set_authenticated(authenticated=True)  # it has not been served
    assert iterate(selector, clock, 1) == [[pairs[1][0].fileno()]]
    first.set_authenticated(authenticated=True)
    second.set_authenticated(authenticated=False)
    assert iterate(selector, clock, 1) == [[ours.fileno() for ours, _ in pairs[:2]]]


def test_a_registration_can_be_changed_while_its_event_is_queued(
    selector: PacedSelector, clock: Clock, pairs: list[Pair]
) -> None:
    added = add(selector, pairs[:3])
    first, second, third = (ours.fileno() for ours, _ in pairs[:3])
    assert iterate(selector, clock, 1) == [[first]]
    assert [each.is_queued for each in added] == [False, True, True]
    selector.unregister(second)
    selector.modify(third, selectors.EVENT_WRITE, "write")
    assert [each.is_queued for each in added] == [False, False, False]
    ((key, mask),) = selector.select(0)
    assert (key.fd, key.data, mask) == (third, "write", selectors.EVENT_WRITE)
    assert second not in selector.get_map()
    selector.register(second, selectors.EVENT_READ)
    assert second in served(selector, clock, 3)
    added[0].remove()
    assert first not in selector.get_map()
    selector.register(first, selectors.EVENT_READ)  # the file descriptor has been reused
    assert all(first in found for found in iterate(selector, clock, 3))


def test_a_listener_has_a_third_of_the_events(selector: PacedSelector, clock: Clock, pairs: list[Pair]) -> None:
    add(selector, pairs)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        selector.add(server.fileno(), is_listener=True)
        selector.register(server.fileno(), selectors.EVENT_READ)
        found = served(selector, clock, 30)
        assert found.count(server.fileno()) == 10
        assert len(found) == 30


def test_a_callback_is_paced_like_an_event(selector: PacedSelector, clock: Clock, pairs: list[Pair]) -> None:
    added = add(selector, pairs[:2])
    called: list[int] = []
    assert len(iterate(selector, clock, 2, 0.001)) == 2
    added[0].queue_callback(lambda: called.append(1))
    assert added[0].is_queued
    found = []
    while not called:
        found += iterate(selector, clock, 1, 0.001)
    assert found[-1] == []
    assert len(found) <= 3


def test_a_long_iteration_of_other_work_delays_few_paced_events(
    selector: PacedSelector, clock: Clock, pairs: list[Pair]
) -> None:
    add(selector, pairs)
    had = sum(len(found) for found in iterate(selector, clock, 100, 0.05))
    assert had >= 25


def test_when_pacing_stops_all_events_come_at_once(selector: PacedSelector, clock: Clock, pairs: list[Pair]) -> None:
    with ExitStack() as opened:
        for _ in range(20):
            ours, theirs = (opened.enter_context(end) for end in socket.socketpair())
            theirs.send(b"x")
            pairs.append((ours, theirs))
        added = add(selector, pairs[:4])
        iterate(selector, clock, 1)
        selector.stop_pacing()
        added[0].set_authenticated(authenticated=False)
        add(selector, pairs[4:])
        assert set(iterate(selector, clock, 1)[0]) == {ours.fileno() for ours, _ in pairs}


def test_an_iteration_has_some_events_of_each_organization(selector: PacedSelector, clock: Clock) -> None:
    with ExitStack() as opened:
        ends = [[opened.enter_context(end) for end in socket.socketpair()] for _ in range(42)]
        for number, (ours, theirs) in enumerate(ends):
            theirs.send(b"x")
            owner = b"busy" if number < 40 else b"other"
            selector.add(ours.fileno()).set_authenticated(authenticated=True, owner=owner)
            selector.register(ours.fileno(), selectors.EVENT_READ)
        clock.now += 1
        busy, other = ({ours.fileno() for ours, _ in part} for part in (ends[:40], ends[40:]))
        found = [set(each) for each in iterate(selector, clock, 5, 0.001)]
        assert all(other <= each for each in found)
        assert [len(each & busy) for each in found] == [8] * 5
        assert set().union(*found) == busy | other  # each had its event in five iterations
