"""UnassignAllDevices: everything of a departing customer."""

from typing import Any

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from tests.conftest import Tenant, failure
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import ADA, BOB, Api


def depart(api: Api, tenant: Tenant, email: str, count: int, **options: Any) -> Any:
    return api(tenant, "UnassignAllDevices", customer_email=email, expected_count=count, **options)


def test_everything_ends_in_one_operation_and_others_keep_theirs(api: Api, tenant: Tenant, database: Database) -> None:
    given = api.assign(tenant, ADA, [f"D{number:04}" for number in range(3_000)])
    api.assign(tenant, BOB, ["D0000", "E"])
    answer = depart(api, tenant, ADA, 3_000, note="moved away")
    assert answer.message == "Successfully unassigned 3000 device(s) from customer"
    assert (answer.customer_id, answer.unassigned_count) == (given.customer_id, 3_000)
    page = api(tenant, "ListAssignedDevices", customer_email=ADA)
    assert (list(page.devices), page.total_count, page.revision) == ([], 0, answer.revision)
    assert answer.revision != given.revision
    assert api.devices(tenant, BOB) == ["D0000", "E"]
    done = api.operation(tenant, answer.operation_id)
    assert (done.kind, done.note) == (pb.OPERATION_KIND_UNASSIGN_ALL, "moved away")
    assert (done.assigned_count, done.unassigned_count) == (0, 3_000)
    assert list(done.customer_ids) == [given.customer_id]
    assert len(api.changes(tenant, answer.operation_id)) == 3_000
    ledger.check(database, tenant)


@pytest.mark.parametrize("expected", [0, 1, 3])
def test_another_count_is_refused_with_the_true_one(
    api: Api, tenant: Tenant, database: Database, expected: int
) -> None:
    api.assign(tenant, ADA, ["A", "B"])
    before = ledger.picture(database, tenant)
    for validate_only in (True, False):
        failed = failure(lambda: depart(api, tenant, ADA, expected, validate_only=validate_only))  # noqa: B023  # called here
        assert (failed.code.name, failed.reason) == ("FAILED_PRECONDITION", "ERROR_REASON_COUNT_DIFFERS")
        assert failed.metadata["device_count"] == "2"
    assert ledger.picture(database, tenant) == before


def test_nothing_to_end_is_no_operation(api: Api, tenant: Tenant, database: Database) -> None:
    given = api.assign(tenant, ADA, ["A"])
    first = depart(api, tenant, ADA, 1)
    before = ledger.picture(database, tenant)
    again = depart(api, tenant, ADA, 0)
    assert (again.unassigned_count, again.operation_id, again.revision) == (0, "", first.revision)
    assert again.customer_id == given.customer_id
    assert ledger.picture(database, tenant) == before


def test_the_count_must_be_given_even_if_it_is_zero(api: Api, tenant: Tenant) -> None:
    failed = failure(lambda: api(tenant, "UnassignAllDevices", customer_email=ADA))
    assert failed.violations == [("expected_count", "is required; 0 is a value")]
    failed = failure(lambda: depart(api, tenant, ADA, -1))
    assert failed.violations == [("expected_count", "must not be negative")]


def test_an_unknown_customer_is_not_found_and_not_created(api: Api, tenant: Tenant, database: Database) -> None:
    before = ledger.picture(database, tenant)
    failed = failure(lambda: depart(api, tenant, ADA, 0))
    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "ERROR_REASON_CUSTOMER_NOT_FOUND")
    assert ledger.picture(database, tenant) == before


def test_a_moved_revision_is_told_before_the_count(api: Api, tenant: Tenant) -> None:
    first = api.assign(tenant, ADA, ["A"])
    second = api.assign(tenant, ADA, ["B"])
    failed = failure(lambda: depart(api, tenant, ADA, 1, expected_revision=first.revision))
    assert failed.reason == "ERROR_REASON_REVISION_MOVED"
    assert depart(api, tenant, ADA, 2, expected_revision=second.revision).unassigned_count == 2
