"""What a request id stands for: the same content exactly, whatever the order of Python's mind."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.cancellation import Cancellation
from service.domain.email import Email
from service.domain.errors import CustomerNotFound, RequestIdReused
from service.domain.options import Options
from service.domain.replay import Codec, Request, answer_once
from service.domain.unassign_devices import RemainingView, UnassignDevices
from service.storage.database import Database
from service.storage.transaction import Transaction
from tests.conftest import Tenant

ANY = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
TEXT: Codec[str] = Codec(str.encode, bytes.decode)
OPTIONS = Options("key_1", "7f1c7b1e-0000-4000-8000-000000000000")
WISH = UnassignDevices(Email.parse("ada@example.com"), ["a", "b"], OPTIONS)
Ask = Callable[[Request, str | Exception], tuple[str, bool]]
VALUES = st.recursive(st.text(max_size=5) | st.booleans() | st.integers(), lambda v: st.lists(v, max_size=3))


@ANY
@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4))
def test_two_fingerprints_are_the_same_exactly_if_the_contents_are(one: list[object], other: list[object]) -> None:
    same = repr(one) == repr(other)
    assert (Request("", one).fingerprint() == Request("", other).fingerprint()) == same
    assert Request("", tuple(one)).fingerprint() == Request("", one).fingerprint()


@pytest.mark.parametrize(
    "difference",
    [
        {"customer": Email.parse("bob@example.com")}, {"identifiers": ["b", "a"]}, {"identifiers": ["ab"]},
        {"identifiers": ["a", "b", "c"]}, {"options": replace(OPTIONS, note="why")},
        {"options": replace(OPTIONS, expected_revision="rev_1")}, {"require_all": True},
        {"remaining_view": RemainingView.COUNT},
    ],
)  # fmt: skip
def test_every_value_of_the_request_is_part_of_the_content(difference: dict[str, Any]) -> None:
    assert replace(WISH, **difference).request().fingerprint() != WISH.request().fingerprint()


@pytest.mark.parametrize(
    "difference",
    [
        {"customer": Email.parse("ADA@EXAMPLE.COM")},
        {"identifiers": ["a", "b", "a"]},
        {"options": replace(OPTIONS, key_id="key_2")},
        {"max_answer_bytes": 65536},
    ],
)
def test_what_means_the_same_is_the_same_content(difference: dict[str, Any]) -> None:
    assert replace(WISH, **difference).request().fingerprint() == WISH.request().fingerprint()


def test_a_preview_has_no_request_id() -> None:
    assert replace(WISH, options=replace(OPTIONS, validate_only=True)).request().request_id == ""


@pytest.fixture
def ask(database: Database, tenant: Tenant) -> Ask:
    """Asks for an answer in a transaction of its own."""

    def once(request: Request, answer: str | Exception) -> tuple[str, bool]:
        def work() -> str:
            if isinstance(answer, Exception):
                raise answer
            return answer

        def transaction(uow: Transaction) -> tuple[str, bool]:
            return answer_once(uow, request, TEXT, work)

        return database.write(tenant.id, Cancellation(), transaction)

    return once


def test_the_first_answer_is_kept_and_given_again(ask: Ask) -> None:
    assert ask(Request("id", ["x"]), "first") == ("first", False)
    assert ask(Request("id", ["x"]), "second") == ("first", True)
    assert ask(Request("other", ["x"]), "third") == ("third", False)


def test_an_error_is_not_kept(ask: Ask) -> None:
    with pytest.raises(CustomerNotFound):
        ask(Request("id", ["x"]), CustomerNotFound())
    assert ask(Request("id", ["x"]), "answer") == ("answer", False)


def test_other_content_is_refused_and_leaves_the_first_answer(ask: Ask) -> None:
    ask(Request("id", ["x"]), "first")
    with pytest.raises(RequestIdReused):
        ask(Request("id", ["y"]), "second")
    assert ask(Request("id", ["x"]), "third") == ("first", True)


def test_without_a_request_id_nothing_is_kept(ask: Ask) -> None:
    assert ask(Request("", ["x"]), "first") == ("first", False)
    assert ask(Request("", ["x"]), "second") == ("second", False)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite's second writer waits for the first
def test_a_call_that_is_refused_and_gets_its_twins_answer_leaves_nothing_of_its_own(
    database: Database, tenant: Tenant
) -> None:
    request, ada = Request("id", ["x"]), Email.parse("ada@example.com")

    def twin(uow: Transaction) -> tuple[str, bool]:
        return answer_once(uow, request, TEXT, lambda: "first")

    def transaction(uow: Transaction) -> tuple[str, bool]:
        def refused() -> str:
            uow.customers.create([ada])
            database.write(tenant.id, Cancellation(), twin)
            raise CustomerNotFound

        return answer_once(uow, request, TEXT, refused)

    assert database.write(tenant.id, Cancellation(), transaction) == ("first", True)
    assert database.read(tenant.id, Cancellation(), lambda uow: uow.customers.find(email=ada)) is None
