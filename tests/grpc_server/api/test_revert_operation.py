"""RevertOperation: undoing each kind of operation."""

from collections.abc import Callable
from typing import Any

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from tests.conftest import Tenant, failure
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import ADA, BOB, CAT, Api

Act = Callable[[Api, Tenant], str]


def give(api: Api, tenant: Tenant, identifier: str, emails: list[str]) -> Any:
    return api(tenant, "AssignDevice", device_identifier=identifier, customer_emails=emails)


def twice_reverted(api: Api, tenant: Tenant) -> str:
    done = api.unassign(tenant, ADA, ["A", "B"]).operation_id
    return str(api.revert(tenant, done).operation_id)


def departed(api: Api, tenant: Tenant) -> str:
    return str(api(tenant, "UnassignAllDevices", customer_email=ADA, expected_count=3).operation_id)


# Ada has A, B, C and Bob has C, D when they begin. With each: devices, assignments begun and ended by the undoing.
KINDS: dict[str, tuple[Act, tuple[int, int, int]]] = {
    "unassign": (lambda api, tenant: api.unassign(tenant, ADA, ["A", "C", "X"]).operation_id, (2, 2, 0)),
    "unassign one": (
        lambda api, tenant: api(tenant, "UnassignDevice", customer_email=ADA, device_identifier="C").operation_id,
        (1, 1, 0),
    ),
    "assign": (lambda api, tenant: api.assign(tenant, BOB, ["A", "C", "N"]).operation_id, (2, 0, 2)),
    "assign to a new customer": (lambda api, tenant: api.assign(tenant, CAT, ["A"]).operation_id, (1, 0, 1)),
    "assign to many": (lambda api, tenant: give(api, tenant, "C", [CAT, ADA, "d@x.org", BOB]).operation_id, (1, 0, 2)),
    "transfer": (lambda api, tenant: api.transfer(tenant, ADA, CAT, ["A", "B"]).operation_id, (2, 2, 2)),
    "transfer of what the second had": (
        lambda api, tenant: api.transfer(tenant, ADA, BOB, ["A", "C"]).operation_id,
        (2, 2, 1),
    ),
    "unassign all": (departed, (3, 3, 0)),
    "import": (lambda _api, tenant: tenant.assign(CAT, ["A", "N"]), (2, 0, 2)),
    "revert": (twice_reverted, (2, 0, 2)),
}


def everybody(api: Api, tenant: Tenant) -> dict[str, list[str]]:
    """Tells who has what, leaving out those who have nothing."""
    customers = api(tenant, "ListCustomers").customers
    return {customer.email: list(customer.devices) for customer in customers if customer.devices}


@pytest.fixture
def world(api: Api, tenant: Tenant) -> None:
    """Ada has A, B and C, and Bob C and D."""
    api.assign(tenant, ADA, ["A", "B", "C"], device_type="thermostat")
    api.assign(tenant, BOB, ["C", "D"], device_type="thermostat")


@pytest.mark.parametrize("kind", KINDS)
def test_undoing_gives_every_device_the_owners_that_it_had_before(
    api: Api, tenant: Tenant, database: Database, world: None, kind: str
) -> None:
    act, (devices, begun, ended) = KINDS[kind]
    before = everybody(api, tenant)
    done = act(api, tenant)
    if kind == "revert":
        before = {ADA: ["C"], BOB: ["C", "D"]}
    after = everybody(api, tenant)
    assert after != before

    untouched = ledger.picture(database, tenant)
    preview = api.revert(tenant, done, validate_only=True)
    assert ledger.picture(database, tenant) == untouched
    undone = api.revert(tenant, done, note="a mistake")
    assert undone.message == f"Successfully reverted {devices} device(s), left 0"
    assert (undone.reverted_count, undone.not_reverted_count, list(undone.not_reverted_devices)) == (devices, 0, [])
    assert everybody(api, tenant) == before
    operation = api.operation(tenant, undone.operation_id)
    assert operation.kind == pb.OPERATION_KIND_REVERT
    assert (operation.assigned_count, operation.unassigned_count) == (begun, ended)
    assert (operation.reverts_operation_id, operation.note) == (done, "a mistake")
    opposite = {pb.CHANGE_ASSIGNED: pb.CHANGE_UNASSIGNED, pb.CHANGE_UNASSIGNED: pb.CHANGE_ASSIGNED}
    changes = [(customer, device, opposite[change]) for customer, device, change in api.changes(tenant, done)]  # type: ignore[index]  # an int
    assert api.changes(tenant, undone.operation_id) == changes
    assert list(operation.customer_ids) == list(api.operation(tenant, done).customer_ids)
    undone.operation_id = ""
    assert preview == undone
    ledger.check(database, tenant)


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_undoing_finds_nothing_left_to_do(
    api: Api, tenant: Tenant, database: Database, world: None, kind: str
) -> None:
    act, (devices, _, _) = KINDS[kind]
    done = act(api, tenant)
    api.revert(tenant, done)
    before = ledger.picture(database, tenant)
    again = api.revert(tenant, done)
    assert (again.operation_id, again.reverted_count, again.not_reverted_count) == ("", 0, devices)
    assert again.message == f"Successfully reverted 0 device(s), left {devices}"
    names = sorted({device for _, device, _ in api.changes(tenant, done)})
    assert [device.device_identifier for device in again.not_reverted_devices] == names
    assert {device.reason for device in again.not_reverted_devices} == {pb.LEFT_REASON_ALREADY_REVERTED}
    assert ledger.picture(database, tenant) == before


@pytest.mark.parametrize("kind", KINDS)
def test_an_undoing_can_be_undone(api: Api, tenant: Tenant, database: Database, world: None, kind: str) -> None:
    act, (devices, _, _) = KINDS[kind]
    done = act(api, tenant)
    after = everybody(api, tenant)
    undone = api.revert(tenant, done)
    redone = api.revert(tenant, undone.operation_id)
    assert (redone.reverted_count, redone.not_reverted_count) == (devices, 0)
    assert everybody(api, tenant) == after
    assert api.operation(tenant, redone.operation_id).reverts_operation_id == undone.operation_id
    ledger.check(database, tenant)


def test_created_customers_and_devices_stay(api: Api, tenant: Tenant) -> None:
    done = api.assign(tenant, ADA, ["A"])
    api.revert(tenant, done.operation_id)
    assert api(tenant, "QueryCustomer", email=ADA).device_count == 0
    assert api(tenant, "GetDevice", identifier="A").device_id == done.assigned_devices[0].device_id


def test_an_unknown_operation_is_not_found(api: Api, tenant: Tenant) -> None:
    failed = failure(lambda: api.revert(tenant, "op_unknown", validate_only=True))
    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "ERROR_REASON_OPERATION_NOT_FOUND")


def test_20_000_devices_of_many_customers_go_back(api: Api, tenant: Tenant, database: Database) -> None:
    identifiers = [f"{number:05}" for number in range(20_000)]
    api.assign(tenant, ADA, identifiers)
    done = api.transfer(tenant, ADA, BOB, identifiers).operation_id
    api.unassign(tenant, BOB, identifiers[::10])
    undone = api.revert(tenant, done)
    assert (undone.reverted_count, undone.not_reverted_count) == (18_000, 2_000)
    assert [device.device_identifier for device in undone.not_reverted_devices] == identifiers[::10][:1_000]
    assert {device.reason for device in undone.not_reverted_devices} == {pb.LEFT_REASON_CHANGED_SINCE}
    assert api(tenant, "QueryCustomer", email=ADA).device_count == 18_000
    ledger.check(database, tenant)
