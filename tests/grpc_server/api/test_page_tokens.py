"""A page token holds what was asked for: with another question it is refused, and only the page's size may change."""

from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Tenant, failure
from tests.grpc_server.api.client import ADA, BOB, CAT, Api, moment, stamp

Ask = dict[str, Any]


class Asked:
    """Questions with more than one page, and for each of their fields another value."""

    def __init__(self, api: Api, tenant: Tenant) -> None:
        self._api, self._tenant = api, tenant
        first = api.assign(tenant, ADA, ["A", "B", "C"])
        other = api.assign(tenant, BOB, ["A", "B"])
        begun = api.operation(tenant, first.operation_id).occurred_at
        for identifier in "BC":
            api.unassign(tenant, ADA, [identifier])
            api.assign(tenant, ADA, [identifier])
        day = timedelta(days=1)
        conditions = {
            "customer_email": ADA,
            "device_identifier": "B",
            "key_id": tenant.key_id,
            "since": stamp(moment(begun) - day),
            "until": stamp(moment(begun) + day),
        }
        others = {
            "customer_email": BOB,
            "device_identifier": "C",
            "key_id": "another",
            "since": begun,
            "until": stamp(moment(begun) + 2 * day),
        }
        moments = {"at": stamp(moment(begun) + timedelta(microseconds=1))}
        self.questions: dict[str, tuple[str, Ask, Ask]] = {
            "devices now": ("ListAssignedDevices", {"customer_email": ADA}, {"customer_email": BOB, "at": begun}),
            "devices then": (
                "ListAssignedDevices",
                {"customer_email": ADA, "at": begun},
                {"customer_email": BOB, **moments},
            ),
            "devices by id": (
                "ListAssignedDevices",
                {"customer_id": first.customer_id, "at": begun},
                {"customer_id": other.customer_id, **moments},
            ),
            "operations": ("ListOperations", conditions, others),
            "all operations": ("ListOperations", {}, others),
            "changes": (
                "ListOperationChanges",
                {"operation_id": first.operation_id},
                {"operation_id": other.operation_id},
            ),
        }

    def page(self, name: str, **fields: Any) -> Any:
        """Asks one of the questions, with other or more fields."""
        method, asked, _ = self.questions[name]
        return self._api(self._tenant, method, **{**asked, **fields})

    def others(self, name: str) -> list[Ask]:
        """Gives questions that differ from it in one field, by another value or, where that can be, by none."""
        method, asked, others = self.questions[name]
        absent = [] if method == "ListOperationChanges" else [{field: None} for field in asked]
        if method == "ListAssignedDevices":
            # Without its customer, the token stands for one.
            absent = [{"at": None}] if "at" in asked else []
        return [*({field: value} for field, value in others.items()), *absent]


@pytest.fixture
def asked(api: Api, tenant: Tenant) -> Asked:
    return Asked(api, tenant)


QUESTIONS = pytest.mark.parametrize(
    "name", ["devices now", "devices then", "devices by id", "operations", "all operations", "changes"]
)


@QUESTIONS
def test_another_question_with_the_token_is_refused(asked: Asked, name: str) -> None:
    token = asked.page(name, page_size=1).next_page_token
    assert token
    for other in asked.others(name):
        refused = failure(lambda: asked.page(name, **other, page_token=token))  # noqa: B023  # called here
        assert [field for field, _ in refused.violations] == ["page_token"], other
        assert refused.code.name == "INVALID_ARGUMENT"


@QUESTIONS
def test_the_same_question_goes_on_with_pages_of_any_size(asked: Asked, name: str) -> None:
    whole = asked.page(name)
    first = asked.page(name, page_size=1)
    second = asked.page(name, page_size=1, page_token=first.next_page_token)
    rest = asked.page(name, page_size=9, page_token=second.next_page_token)
    field = next(f.name for f in whole.DESCRIPTOR.fields if f.is_repeated)
    assert [*getattr(first, field), *getattr(second, field), *getattr(rest, field)] == list(getattr(whole, field))
    if name.startswith("devices"):
        assert first.as_of == second.as_of == rest.as_of


def test_a_token_of_devices_alone_is_the_whole_question(api: Api, tenant: Tenant, asked: Asked) -> None:
    for name in ("devices now", "devices then", "devices by id"):
        token = asked.page(name, page_size=1).next_page_token
        alone = api(tenant, "ListAssignedDevices", page_token=token)
        assert alone == asked.page(name, page_token=token)
    _, then, _ = asked.questions["devices then"]
    assert api(tenant, "ListAssignedDevices", page_token=token, at=then["at"]) == alone


def test_a_token_behind_a_remaining_list_shows_the_moment_of_its_operation(start: Any, tenant: Tenant) -> None:
    _, api = start(max_answer_bytes=65_536)
    devices = [f"{number:04}{'d' * 200}" for number in range(500)]
    api.assign(tenant, CAT, devices)
    done = api.unassign(tenant, CAT, devices[:1])
    assert done.next_page_token
    api.unassign(tenant, CAT, devices[300:])
    page = api(tenant, "ListAssignedDevices", page_token=done.next_page_token, page_size=10)
    assert page.as_of == api.operation(tenant, done.operation_id).occurred_at
    assert page.revision == done.revision
    named = api(tenant, "ListAssignedDevices", customer_email=CAT, page_token=done.next_page_token, page_size=10)
    assert named == page
    again = api(tenant, "ListAssignedDevices", customer_email=CAT, at=page.as_of, page_size=1)
    assert (again.revision, again.total_count) == (done.revision, 499)
    rest = api(tenant, "ListAssignedDevices", page_token=page.next_page_token)
    assert rest.as_of == page.as_of
    refused = failure(
        lambda: api(tenant, "ListAssignedDevices", customer_email=CAT, at=page.as_of, page_token=done.next_page_token)
    )
    assert [field for field, _ in refused.violations] == ["page_token"]
