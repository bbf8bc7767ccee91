"""UnassignDevice: one device of one customer."""

from typing import Any

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from tests.conftest import Tenant, failure
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import ADA, BOB, Api


def take(api: Api, tenant: Tenant, email: str, identifier: str, **options: Any) -> Any:
    return api(tenant, "UnassignDevice", customer_email=email, device_identifier=identifier, **options)


def test_it_tells_what_is_left_and_records_one_operation(api: Api, tenant: Tenant, database: Database) -> None:
    given = api.assign(tenant, ADA, ["B", "A", "C"])
    answer = take(api, tenant, ADA, "B", note="returned")
    assert answer.message == "Device successfully unassigned from customer"
    assert (answer.customer_id, answer.device_identifier) == (given.customer_id, "B")
    assert list(answer.devices_remaining) == ["A", "C"]
    assert (answer.remaining_count, answer.next_page_token) == (2, "")
    assert answer.revision not in ("", given.revision)
    done = api.operation(tenant, answer.operation_id)
    assert (done.kind, done.note, done.key_id) == (pb.OPERATION_KIND_UNASSIGN, "returned", tenant.key_id)
    assert (done.assigned_count, done.unassigned_count) == (0, 1)
    assert api.changes(tenant, answer.operation_id) == [(given.customer_id, "B", pb.CHANGE_UNASSIGNED)]
    ledger.check(database, tenant)


def test_another_owner_of_a_shared_device_keeps_it(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["A"])
    api.assign(tenant, BOB, ["A"])
    take(api, tenant, ADA, "A")
    assert api.owners(tenant, "A") == [BOB]


@pytest.mark.parametrize("identifier", ["B", "unknown"])
def test_a_device_that_the_customer_does_not_have_is_a_failed_precondition(
    api: Api, tenant: Tenant, database: Database, identifier: str
) -> None:
    api.assign(tenant, ADA, ["A"])
    api.assign(tenant, BOB, ["B"])
    before = ledger.picture(database, tenant)
    for validate_only in (False, True):
        failed = failure(lambda: take(api, tenant, ADA, identifier, validate_only=validate_only))  # noqa: B023  # called here
        assert (failed.code.name, failed.reason) == ("FAILED_PRECONDITION", "ERROR_REASON_DEVICE_NOT_ASSIGNED")
    assert ledger.picture(database, tenant) == before


def test_an_unknown_customer_is_not_found(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["A"])
    failed = failure(lambda: take(api, tenant, BOB, "A"))
    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "ERROR_REASON_CUSTOMER_NOT_FOUND")


@pytest.mark.parametrize(
    ("view", "listed", "count"),
    [(pb.REMAINING_VIEW_FULL, ["B"], 1), (pb.REMAINING_VIEW_COUNT, [], 1), (pb.REMAINING_VIEW_NONE, [], 0)],
)
def test_the_view_says_how_much_of_the_remaining_list_is_told(
    api: Api, tenant: Tenant, view: pb.RemainingView.ValueType, listed: list[str], count: int
) -> None:
    api.assign(tenant, ADA, ["A", "B"])
    answer = take(api, tenant, ADA, "A", remaining_view=view)
    assert list(answer.devices_remaining) == listed
    assert answer.remaining_count == count


def test_an_error_is_not_kept_for_its_request_id(api: Api, tenant: Tenant) -> None:
    request_id = "0b0c6f0e-7f0d-4a53-9d0b-5a8f0c9e7a11"
    api.assign(tenant, ADA, ["A"])
    failure(lambda: take(api, tenant, ADA, "B", request_id=request_id))
    api.assign(tenant, ADA, ["B"])
    assert take(api, tenant, ADA, "B", request_id=request_id).success
