"""Lookups that share a question: nobody joins one that has been sent, and nobody suffers from another's end."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from service.domain.cancellation import Cancellation
from service.domain.errors import Cancelled, DatabaseUnavailable, DeadlineExceeded, ServiceError
from service.domain.values import Owner, Ownership
from service.runtime.coalescing import Coalescer

SOON_SECONDS = 120.0
RANDOM = random.Random(4)  # noqa: S311  # no secret
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def owned(identifiers: list[str], by: str = "ada") -> Ownership:
    return Ownership({identifier: [Owner(by, f"{by}@example.com", BEGAN, 1)] for identifier in identifiers}, BEGAN)


class Asked:
    """Questions that reach the database, each of which waits there until the test lets it go."""

    def __init__(self) -> None:
        self.questions: list[tuple[str, list[str]]] = []
        self._gates: list[Future[str]] = []
        self._come = threading.Condition()

    def __call__(self, organization_id: str, cancellation: Cancellation, identifiers: list[str]) -> Ownership:
        """Waits for `answer`."""
        cancellation.check()
        gate: Future[str] = Future()
        with self._come:
            self.questions.append((organization_id, identifiers))
            self._gates.append(gate)
            self._come.notify_all()
        owner = gate.result(SOON_SECONDS)
        cancellation.check()
        return owned(identifiers, owner)

    def wait_for(self, count: int) -> None:
        """Waits until so many questions have come."""
        with self._come:
            assert self._come.wait_for(lambda: len(self.questions) >= count, SOON_SECONDS), self.questions

    def answer(self, number: int, owner: str = "ada") -> None:
        """Has a question find that one customer owns all that it asks for."""
        self._gates[number].set_result(owner)

    def fail(self, number: int, error: ServiceError) -> None:
        """Has a question fail."""
        self._gates[number].set_exception(error)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has calls wait for others for as long as the test needs, so that it can tell who asks."""
    monkeypatch.setattr("service.runtime.coalescing._PATIENCE_SECONDS", 600.0)
    monkeypatch.setattr("service.runtime.coalescing._ANSWER_SECONDS", 600.0)


Find = Callable[..., "Future[Ownership]"]


@pytest.fixture
def find(asked: Asked) -> Find:
    """Begins a call in a thread of its own."""
    shared = Coalescer(asked)
    pool = ThreadPoolExecutor(16)

    def begin(
        *identifiers: str, organization: str = "acme", cancellation: Cancellation | None = None
    ) -> Future[Ownership]:
        return pool.submit(shared.find, organization, cancellation or Cancellation(), list(identifiers))

    begin.shared = shared  # type: ignore[attr-defined]  # for those who look at it
    return begin


def waiting(find: Find, organization: str = "acme") -> int:
    found = find.shared._organizations.get(organization)  # type: ignore[attr-defined]  # nothing public tells it
    return len(found.waiting) if found else 0


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.usefixtures("patient")
def test_calls_that_come_during_a_question_are_asked_together_behind_it(asked: Asked, find: Find) -> None:
    first = find("A")
    asked.wait_for(1)
    later = [find(*wanted) for wanted in (["B", "C"], ["C", "D"], ["A"])]
    until(lambda: waiting(find) == 3)
    asked.answer(0, "ada")
    assert first.result(SOON_SECONDS) == owned(["A"], "ada")
    asked.wait_for(2)
    asked.answer(1, "bob")
    # Nobody got what the question told that had been sent before they came.
    for call in later:
        assert {
            identifier: owners[0].customer_id for identifier, owners in call.result(SOON_SECONDS).owners.items()
        } == (dict.fromkeys("ABCD", "bob"))
    assert len(asked.questions) == 2
    assert sorted(asked.questions[1][1]) == ["A", "B", "C", "D"]


@pytest.mark.usefixtures("patient")
def test_who_comes_while_the_shared_question_is_under_way_waits_for_the_next(asked: Asked, find: Find) -> None:
    calls = []
    for turn in range(4):
        calls.append(find("A"))
        if turn:
            until(lambda: waiting(find) == 1)
            asked.answer(turn - 1, f"customer-{turn - 1}")
        asked.wait_for(turn + 1)
    asked.answer(3, "customer-3")
    found = [call.result(SOON_SECONDS) for call in calls]
    assert found == [owned(["A"], f"customer-{turn}") for turn in range(4)]


@pytest.mark.usefixtures("patient")
def test_organisations_share_nothing(asked: Asked, find: Find) -> None:
    ours, theirs = find("A"), find("A", organization="globex")
    asked.wait_for(2)
    number = [organization for organization, _ in asked.questions].index("acme")
    asked.answer(number, "ada")
    asked.answer(1 - number, "gil")
    assert ours.result(SOON_SECONDS) == owned(["A"], "ada")
    assert theirs.result(SOON_SECONDS) == owned(["A"], "gil")


def test_who_has_waited_long_enough_asks_beside_the_question_under_way(asked: Asked, find: Find) -> None:
    slow = find("A")
    asked.wait_for(1)
    quick = find("B")
    asked.wait_for(2)  # while the first is still there
    asked.answer(1, "bob")
    assert quick.result(SOON_SECONDS) == owned(["B"], "bob")
    asked.answer(0)
    assert slow.result(SOON_SECONDS) == owned(["A"])
    until(lambda: not find.shared._organizations)  # type: ignore[attr-defined]  # as above


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("error", [Cancelled(), DeadlineExceeded(), DatabaseUnavailable()], ids=type)
def test_a_failure_stays_with_the_call_that_asked(asked: Asked, find: Find, error: ServiceError) -> None:
    first = find("A")
    asked.wait_for(1)
    calls = [find("B"), find("C"), find("D")]
    until(lambda: waiting(find) == 3)
    asked.answer(0)
    assert first.result(SOON_SECONDS) == owned(["A"])
    asked.wait_for(2)
    asked.fail(1, error)
    # Those for whom it asked ask alone.
    asked.wait_for(4)
    asked.answer(2)
    asked.answer(3)
    until(lambda: all(call.done() for call in calls))
    [failed] = [call for call in calls if call.exception()]
    assert failed.exception() is error
    alone = sorted(wanted for _, wanted in asked.questions[2:])
    assert sorted(list(call.result().owners) for call in calls if call is not failed) == alone
    assert all(len(wanted) == 1 for wanted in alone)
    until(lambda: not find.shared._organizations)  # type: ignore[attr-defined]  # as above


@pytest.mark.usefixtures("patient")
def test_the_next_one_asks_when_a_question_fails(asked: Asked, find: Find) -> None:
    first = find("A")
    asked.wait_for(1)
    second = find("B")
    until(lambda: waiting(find) == 1)
    asked.fail(0, Cancelled())
    asked.wait_for(2)
    asked.answer(1)
    assert isinstance(first.exception(SOON_SECONDS), Cancelled)
    assert second.result(SOON_SECONDS) == owned(["B"])


def test_who_has_joined_a_question_that_takes_long_asks_alone(
    asked: Asked, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.runtime.coalescing._PATIENCE_SECONDS", 5.0)
    first = find("A")
    asked.wait_for(1)
    gone, late = Cancellation(), Cancellation(time.monotonic() + 0.1)
    calls = []
    for identifier, cancellation in {"B": Cancellation(), "C": gone, "D": late, "E": Cancellation()}.items():
        calls.append(find(identifier, cancellation=cancellation))
        until(lambda: waiting(find) == len(calls))
    asked.answer(0)
    first.result(SOON_SECONDS)
    asked.wait_for(2)
    assert asked.questions[1][1] == ["B", "C", "D", "E"]
    gone.cancel()
    asked.wait_for(3)
    assert asked.questions[2:] == [("acme", ["E"])]
    asked.answer(2, "eve")
    assert calls[3].result(SOON_SECONDS) == owned(["E"], "eve")
    # Whose caller is gone does not wait for others' answers.
    assert isinstance(calls[1].exception(SOON_SECONDS), Cancelled)
    assert isinstance(calls[2].exception(SOON_SECONDS), DeadlineExceeded)
    asked.answer(1)
    assert calls[0].result(SOON_SECONDS).owners["B"] == owned(["B"]).owners["B"]


@pytest.mark.usefixtures("patient")
def test_whose_caller_is_gone_asks_for_nobody(asked: Asked, find: Find) -> None:
    first = find("A")
    asked.wait_for(1)
    gone = Cancellation()
    calls = []
    for identifier in "BCD":
        calls.append(find(identifier, cancellation=gone if identifier == "B" else None))
        until(lambda: waiting(find) == len(calls))
    gone.cancel()
    asked.answer(0)
    first.result(SOON_SECONDS)
    assert isinstance(calls[0].exception(SOON_SECONDS), Cancelled)
    asked.wait_for(2)
    assert asked.questions[1:] == [("acme", ["C", "D"])]
    asked.answer(1)
    assert [sorted(call.result(SOON_SECONDS).owners) for call in calls[1:]] == [["C", "D"]] * 2


@pytest.mark.usefixtures("patient")
def test_an_answer_that_comes_too_late_is_none(asked: Asked, find: Find) -> None:
    first = find("A")
    asked.wait_for(1)
    late = Cancellation()
    calls = [find("B")]
    until(lambda: waiting(find) == 1)
    calls.append(find("C", cancellation=late))
    until(lambda: waiting(find) == 2)
    asked.answer(0)
    first.result(SOON_SECONDS)
    asked.wait_for(2)
    late.cancel()
    asked.answer(1)
    assert sorted(calls[0].result(SOON_SECONDS).owners) == ["B", "C"]
    assert isinstance(calls[1].exception(SOON_SECONDS), Cancelled)


def test_in_any_disorder_everybody_gets_an_end_of_their_own() -> None:
    moments = threading.Lock()
    moment = 0

    def ask(_organization: str, cancellation: Cancellation, identifiers: list[str]) -> Ownership:
        with moments:
            now = moment
        time.sleep(RANDOM.choice([0, 0, 0.0005, 0.003]))
        cancellation.check()
        if RANDOM.random() < 0.1:
            raise DatabaseUnavailable
        return owned(identifiers, str(now))

    shared = Coalescer(ask)

    def call(number: int) -> None:
        nonlocal moment
        for turn in range(100):
            wanted = [f"{number}-{turn}"]
            cancellation = Cancellation(time.monotonic() + RANDOM.choice([0, 0.001, 600, 600, 600]))
            with moments:
                moment += 1
                before = moment
            try:
                found = shared.find(f"organization-{turn % 2}", cancellation, wanted)
            except (DatabaseUnavailable, DeadlineExceeded):
                continue
            assert int(found.owners[wanted[0]][0].customer_id) >= before

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(call, range(12)))
    assert not shared._organizations
