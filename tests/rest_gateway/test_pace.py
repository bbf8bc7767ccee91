"""What no key has paid for has turns: how many, in which order, and what they leave to others."""

import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from service.rest_gateway import pace as pace_module
from service.rest_gateway.pace import Pace, Place
from service.rest_gateway.seats import Seats

Pair = tuple[socket.socket, socket.socket]


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Gives seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Iterator[Pace]:
    """A selector."""
    made = Pace(clock)
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


def paced(pace: Pace, pairs: list[Pair]) -> list[Place]:
    """Has connections have fairness."""
    places = []
    for ours, _ in pairs:
        places.append(pace.take(ours.fileno()))
        pace.register(ours.fileno(), selectors.EVENT_READ, "paced")
    return places


def rounds(pace: Pace, clock: Clock, count: int, spent: float = 0.0) -> list[list[int]]:
    """Runs rounds of a loop, each of which takes so many seconds. Gives the sockets of each."""
    found = []
    for _ in range(count):
        found.append([key.fd for key, _ in pace.select(0)])
        clock.now += spent
    return found


def turns(pace: Pace, clock: Clock, count: int) -> list[int]:
    """Runs short rounds. Gives the sockets that had fairness."""
    return [fd for found in rounds(pace, clock, count, 1e-6) for fd in found]


def test_one_event_a_round_comes_from_those_in_turns_and_all_others_at_once(
    pace: Pace, clock: Clock, pairs: list[Pair]
) -> None:
    paced(pace, pairs[:4])
    open_ones = [ours.fileno() for ours, _ in pairs[4:]]
    for fd in open_ones:
        pace.register(fd, selectors.EVENT_READ)
    for found in rounds(pace, clock, 20):
        assert len(found) == 3
        assert set(open_ones) < set(found)


def test_the_one_whose_last_turn_is_longest_ago_is_next(pace: Pace, clock: Clock, pairs: list[Pair]) -> None:
    paced(pace, pairs[:4])
    order = [ours.fileno() for ours, _ in pairs[:4]]
    assert turns(pace, clock, 6) == [*order, *order[:2]]
    # One that comes new is before all that wait, and then waits like them.
    paced(pace, pairs[4:5])
    assert turns(pace, clock, 6) == [pairs[4][0].fileno(), *order[2:], *order[:2], pairs[4][0].fileno()]


@pytest.mark.parametrize("spent", [0.0001, 0.004])
def test_turns_take_half_of_the_time_at_most_whatever_they_cost(
    pace: Pace, clock: Clock, pairs: list[Pair], spent: float
) -> None:
    paced(pace, pairs)
    count = int(2 / spent)
    had = sum(len(found) for found in rounds(pace, clock, count, spent))
    assert count // 10 < had <= count // 2 + 0.01 / spent + 3


def test_a_connection_with_a_good_key_has_no_turns(pace: Pace, clock: Clock, pairs: list[Pair]) -> None:
    places = paced(pace, pairs[:3])
    paid = pairs[1][0].fileno()
    places[1].set_paid(paid=True)
    assert all(paid in found for found in rounds(pace, clock, 5))
    assert pace.get_key(paid).data == "paced"
    places[1].set_paid(paid=False)
    assert sum(paid in found for found in rounds(pace, clock, 6)) == 2


def test_a_good_key_pays_for_the_turns_before_it(
    pace: Pace, clock: Clock, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace_module, "_BURST_SECONDS", 0.0)
    first, second = paced(pace, pairs[:2])
    found = rounds(pace, clock, 4, 0.004)
    assert found == [[pairs[0][0].fileno()], [], [], []]  # from now on there is a pause
    second.set_paid(paid=True)  # it has had no turn
    assert rounds(pace, clock, 1) == [[pairs[1][0].fileno()]]
    first.set_paid(paid=True)
    second.set_paid(paid=False)
    assert rounds(pace, clock, 1) == [[ours.fileno() for ours, _ in pairs[:2]]]


def test_what_is_asked_for_can_be_changed_while_a_turn_is_waited_for(
    pace: Pace, clock: Clock, pairs: list[Pair]
) -> None:
    places = paced(pace, pairs[:3])
    first, second, third = (ours.fileno() for ours, _ in pairs[:3])
    assert rounds(pace, clock, 1) == [[first]]
    assert [place.waits for place in places] == [False, True, True]
    pace.unregister(second)
    pace.modify(third, selectors.EVENT_WRITE, "write")
    assert [place.waits for place in places] == [False, False, False]
    ((key, mask),) = pace.select(0)
    assert (key.fd, key.data, mask) == (third, "write", selectors.EVENT_WRITE)
    assert second not in pace.get_map()
    pace.register(second, selectors.EVENT_READ)
    assert second in turns(pace, clock, 3)
    places[0].leave()
    assert first not in pace.get_map()
    pace.register(first, selectors.EVENT_READ)  # the number is another's now
    assert all(first in found for found in rounds(pace, clock, 3))


def test_a_listener_has_a_third_of_the_turns(pace: Pace, clock: Clock, pairs: list[Pair]) -> None:
    paced(pace, pairs)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pace.take(server.fileno(), listens=True)
        pace.register(server.fileno(), selectors.EVENT_READ)
        found = turns(pace, clock, 30)
        assert found.count(server.fileno()) == 10
        assert len(found) == 30


def test_a_callback_has_a_turn_like_an_event(pace: Pace, clock: Clock, pairs: list[Pair]) -> None:
    places = paced(pace, pairs[:2])
    called: list[int] = []
    assert len(rounds(pace, clock, 2, 0.001)) == 2
    places[0].call_in_turn(lambda: called.append(1))
    assert places[0].waits
    found = []
    while not called:
        found += rounds(pace, clock, 1, 0.001)
    assert found[-1] == []
    assert len(found) <= 3


def test_a_connection_without_a_key_that_asks_again_gives_way_first() -> None:
    seats = Seats(4)
    closed: list[str] = []

    def take(name: str) -> None:
        seat = seats.take()
        assert seat is not None
        taken[name] = seat
        seat.close = lambda: closed.append(name)

    taken: dict[str, object] = {}
    for name in ("paid", "probe", "flood", "other flood"):
        take(name)
    paid, probe, flood, other = (seats_of for seats_of in seats.open)
    paid.wait()
    for seat in (probe, flood, other):
        seat.wait(spare=True)
    flood.asks = other.asks = lambda: True
    for expected in ("flood", "other flood", "probe"):
        take("new")
        assert closed[-1] == expected
    # The rest have only just begun to wait.
    assert seats.take() is None


def test_what_others_do_in_a_long_round_takes_few_turns_away(pace: Pace, clock: Clock, pairs: list[Pair]) -> None:
    paced(pace, pairs)
    had = sum(len(found) for found in rounds(pace, clock, 100, 0.05))
    assert had >= 25


def test_at_the_end_nothing_waits_and_new_connections_have_no_turns(
    pace: Pace, clock: Clock, pairs: list[Pair]
) -> None:
    with ExitStack() as opened:
        for _ in range(20):
            ours, theirs = (opened.enter_context(end) for end in socket.socketpair())
            theirs.send(b"x")
            pairs.append((ours, theirs))
        places = paced(pace, pairs[:4])
        rounds(pace, clock, 1)
        pace.end()
        places[0].set_paid(paid=False)
        paced(pace, pairs[4:])
        assert set(rounds(pace, clock, 1)[0]) == {ours.fileno() for ours, _ in pairs}


def test_a_connection_that_has_been_closed_gets_no_place_again() -> None:
    seats = Seats(1)
    seat = seats.take()
    assert seat is not None
    seat.leave()
    seat.wait()
    seat.wait(spare=True)
    assert not seats.open
    assert not seats.waiting
    assert not seats.spare


def test_a_round_has_some_events_of_each_organization(pace: Pace, clock: Clock) -> None:
    with ExitStack() as opened:
        ends = [[opened.enter_context(end) for end in socket.socketpair()] for _ in range(42)]
        for number, (ours, theirs) in enumerate(ends):
            theirs.send(b"x")
            pace.take(ours.fileno()).set_paid(paid=True, owner=b"busy" if number < 40 else b"other")
            pace.register(ours.fileno(), selectors.EVENT_READ)
        clock.now += 1
        busy, other = ({ours.fileno() for ours, _ in part} for part in (ends[:40], ends[40:]))
        found = [set(each) for each in rounds(pace, clock, 5, 0.001)]
        assert all(other <= each for each in found)
        assert [len(each & busy) for each in found] == [8] * 5
        assert set().union(*found) == busy | other  # each had its event in five rounds
