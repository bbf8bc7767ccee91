"""ListOperations, GetOperation and ListOperationChanges: who changed what, when and why."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.email import Email
from service.domain.import_lines import Line
from service.storage import bulk
from service.storage.database import Database
from service.storage.keys import Keys
from tests.conftest import Tenant, failure
from tests.grpc_server.api.client import ADA, BOB, CAT, Api, moment, stamp
from tests.grpc_server.api.conftest import Start

MICROSECOND = timedelta(microseconds=1)


def ids(operations: list[Any]) -> list[str]:
    return [operation.operation_id for operation in operations]


@pytest.fixture
def second_key(database: Database, tenant: Tenant) -> Tenant:
    """The same organisation with another key."""
    key, secret = Keys(database).create(tenant.id, ("assignments:read", "assignments:write"), None)
    return replace(tenant, key_id=key.id, api_key=secret)


@pytest.fixture
def done(api: Api, tenant: Tenant, second_key: Tenant) -> list[str]:
    """Six operations, the oldest first."""
    return [
        tenant.assign(ADA, ["A", "B"]),
        api.assign(tenant, BOB, ["A", "C"]).operation_id,
        api.transfer(second_key, BOB, ADA, ["C"]).operation_id,
        api.unassign(tenant, ADA, ["A"]).operation_id,
        api.assign(second_key, CAT, ["A"]).operation_id,
        api.transfer(tenant, ADA, CAT, ["B"]).operation_id,
    ]


def test_operations_are_listed_the_newest_first(api: Api, tenant: Tenant, done: list[str]) -> None:
    listed = api.operations(tenant)
    assert ids(listed) == done[::-1]
    assert [operation.kind for operation in listed] == [
        pb.OPERATION_KIND_TRANSFER,
        pb.OPERATION_KIND_ASSIGN,
        pb.OPERATION_KIND_UNASSIGN,
        pb.OPERATION_KIND_TRANSFER,
        pb.OPERATION_KIND_ASSIGN,
        pb.OPERATION_KIND_IMPORT,
    ]
    assert listed[-1].key_id == ""
    for operation in listed:
        assert api.operation(tenant, operation.operation_id) == operation


def test_each_filter_alone_and_all_together(api: Api, tenant: Tenant, second_key: Tenant, done: list[str]) -> None:
    def found(**conditions: Any) -> list[int]:
        return [done.index(operation_id) for operation_id in ids(api.operations(tenant, **conditions))][::-1]

    times = {operation.operation_id: moment(operation.occurred_at) for operation in api.operations(tenant)}
    assert found(customer_email="ADA@example.com") == [0, 2, 3, 5]
    assert found(customer_email=BOB) == [1, 2]
    assert found(device_identifier="A") == [0, 1, 3, 4]
    assert found(device_identifier="C") == [1, 2]
    assert found(customer_email=ADA, device_identifier="A") == [0, 3]
    assert found(customer_email=CAT, device_identifier="C") == []
    assert found(key_id=second_key.key_id) == [2, 4]
    assert found(key_id="key_unknown") == []
    since, until = times[done[2]], times[done[4]]
    assert found(since=stamp(since)) == [2, 3, 4, 5]
    assert found(since=stamp(since + MICROSECOND)) == [3, 4, 5]
    assert found(until=stamp(until)) == [0, 1, 2, 3]
    assert found(until=stamp(until + MICROSECOND)) == [0, 1, 2, 3, 4]
    assert found(since=stamp(since), until=stamp(since)) == []
    window = {"since": stamp(since), "until": stamp(until)}
    assert found(**window, customer_email=ADA) == [2, 3]
    assert found(**window, customer_email=ADA, key_id=second_key.key_id) == [2]
    assert found(**window, customer_email=ADA, key_id=tenant.key_id, device_identifier="A") == [3]


def test_pages_go_on_where_they_left_off_while_new_operations_arrive(api: Api, tenant: Tenant, done: list[str]) -> None:
    seen: list[str] = []
    token = ""
    for _ in range(3):
        page = api(tenant, "ListOperations", page_size=2, page_token=token)
        assert len(page.operations) == 2
        seen += ids(page.operations)
        token = page.next_page_token
        api.assign(tenant, ADA, [f"new {len(seen)}"])
    assert seen == done[::-1]
    assert token == ""
    filtered = api(tenant, "ListOperations", page_size=1, customer_email=BOB)
    rest = api(tenant, "ListOperations", page_size=5, customer_email=BOB, page_token=filtered.next_page_token)
    assert ids([*filtered.operations, *rest.operations]) == [done[2], done[1]]
    assert rest.next_page_token == ""


def test_a_page_size_beyond_the_most_is_the_most(api: Api, tenant: Tenant, done: list[str]) -> None:
    for size in (0, 6, 2_000_000_000):
        page = api(tenant, "ListOperations", page_size=size)
        assert (len(page.operations), page.next_page_token) == (6, "")


def test_tokens_of_other_lists_are_refused(api: Api, tenant: Tenant, done: list[str]) -> None:
    operations = api(tenant, "ListOperations", page_size=1).next_page_token
    changes = api(tenant, "ListOperationChanges", operation_id=done[0], page_size=1).next_page_token
    devices = api(tenant, "ListDevices", page_size=1).next_page_token
    assigned = api(tenant, "ListAssignedDevices", customer_email=CAT, page_size=1).next_page_token
    customers = api(tenant, "ListCustomers", page_size=1).next_page_token
    tokens = {
        "ListOperations": ({}, operations),
        "ListOperationChanges": ({"operation_id": done[0]}, changes),
        "ListDevices": ({}, devices),
        "ListAssignedDevices": ({}, assigned),
        "ListCustomers": ({}, customers),
    }
    assert all(token for _, token in tokens.values())
    for method, (fields, good) in tokens.items():
        api(tenant, method, **fields, page_token=good)
        bad = [token for _, token in tokens.values() if token != good] + [good[:-2], good + "AA", "é", "x" * 5_000]
        for token in bad:
            failed = failure(lambda: api(tenant, method, **fields, page_token=token))  # noqa: B023  # called here
            assert [field for field, _ in failed.violations] == ["page_token"], (method, token)


def test_an_unknown_customer_or_device_is_not_found(api: Api, tenant: Tenant, done: list[str]) -> None:
    failed = failure(lambda: api(tenant, "ListOperations", customer_email="nobody@example.com"))
    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "ERROR_REASON_CUSTOMER_NOT_FOUND")
    failed = failure(lambda: api(tenant, "ListOperations", device_identifier="X"))
    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "ERROR_REASON_DEVICE_NOT_FOUND")


def test_changes_are_listed_by_customer_and_device_in_pages(api: Api, tenant: Tenant) -> None:
    devices = ["é", "B", "a", "🙂", "C", "A"]
    api.assign(tenant, ADA, devices)
    answer = api.transfer(tenant, ADA, BOB, devices, note="all")
    kinds = {answer.from_customer_id: pb.CHANGE_UNASSIGNED, answer.to_customer_id: pb.CHANGE_ASSIGNED}
    expected = [(customer, device, kinds[customer]) for customer in sorted(kinds) for device in sorted(devices)]
    for size in (0, 1, 5, 6, 7, 12):
        assert api.changes(tenant, answer.operation_id, page_size=size) == expected
    page = api(tenant, "ListOperationChanges", operation_id=answer.operation_id, page_size=5)
    assert len(page.changes) == 5


def test_a_page_of_operations_of_many_customers_keeps_to_the_answers_size(
    start: Start, tenant: Tenant, database: Database
) -> None:
    _, api = start(max_answer_bytes=150_000)
    people = [Email.parse(f"c{number}@example.com") for number in range(1_005)]
    for round_number in range(8):
        lines = [Line(n, email, f"D{round_number}", "lamp") for n, email in enumerate(people, 2)]
        bulk.import_lines(database, tenant.id, lines, skip_bad_lines=False)
    page = api(tenant, "ListOperations")
    assert 75_000 < page.ByteSize() <= 150_000
    assert page.next_page_token
    listed = api.operations(tenant)
    assert len(set(ids(listed))) == 8
    assert {len(operation.customer_ids) for operation in listed} == {1_000}
    assert {operation.assigned_count for operation in listed} == {1_005}
    assert list(listed[0].customer_ids) == sorted(listed[0].customer_ids)


def test_a_page_of_long_changes_keeps_to_the_answers_size(start: Start, tenant: Tenant) -> None:
    _, api = start(max_answer_bytes=65_536)
    identifiers = [f"{number:03}{'🙂' * 250}" for number in range(200)]
    answer = api.assign(tenant, ADA, identifiers)
    page = api(tenant, "ListOperationChanges", operation_id=answer.operation_id)
    assert 40_000 < page.ByteSize() <= 65_536
    assert [device for _, device, _ in api.changes(tenant, answer.operation_id)] == identifiers
