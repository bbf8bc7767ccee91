"""RevertOperation: devices whose owners have changed since are left as they are, and named."""

from collections.abc import Callable
from typing import Any

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from tests.conftest import Tenant
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import ADA, BOB, CAT, Api

CHANGED, REVERTED = pb.LEFT_REASON_CHANGED_SINCE, pb.LEFT_REASON_ALREADY_REVERTED

Act = Callable[[Api, Tenant], Any]


def and_back(api: Api, tenant: Tenant) -> None:
    api.transfer(tenant, BOB, CAT, ["A"])
    api.transfer(tenant, CAT, BOB, ["A"])


def lent_and_returned(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, CAT, ["A"])
    api.unassign(tenant, CAT, ["A"])


def changed_and_reverted(api: Api, tenant: Tenant) -> None:
    api.revert(tenant, api.unassign(tenant, BOB, ["A"]).operation_id)


# What happens to A after Ada has given it to Bob: each of these is a change of its owners.
CHANGES: dict[str, Act] = {
    "sold on": lambda api, tenant: api.transfer(tenant, BOB, CAT, ["A"]),
    "returned": lambda api, tenant: api.unassign(tenant, BOB, ["A"]),
    "given back": lambda api, tenant: api.transfer(tenant, BOB, ADA, ["A"]),
    "changed and changed back": and_back,
    "another owner came": lambda api, tenant: api.assign(tenant, CAT, ["A"]),
    "another owner came and went": lent_and_returned,
    "a third owner went": lambda api, tenant: api.unassign(tenant, "third@example.com", ["A"]),
    "changed and reverted": changed_and_reverted,
    "all unassigned": lambda api, tenant: api(tenant, "UnassignAllDevices", customer_email=BOB, expected_count=3),
    "imported": lambda _api, tenant: tenant.assign(CAT, ["A"]),
}


def left(answer: Any) -> list[tuple[str, int]]:
    return [(device.device_identifier, device.reason) for device in answer.not_reverted_devices]


@pytest.mark.parametrize("change", CHANGES)
def test_a_device_whose_owners_have_changed_in_whatever_way_is_left(
    api: Api, tenant: Tenant, database: Database, change: str
) -> None:
    api.assign(tenant, ADA, ["A", "B"], device_type="thermostat")
    api.assign(tenant, BOB, ["S"])
    api.assign(tenant, "third@example.com", ["A"])
    done = api.transfer(tenant, ADA, BOB, ["A", "B"]).operation_id
    CHANGES[change](api, tenant)
    owners = api.owners(tenant, "A")
    all_gone = change == "all unassigned"
    undone = api.revert(tenant, done)
    assert (undone.reverted_count, undone.not_reverted_count) == ((0, 2) if all_gone else (1, 1))
    assert left(undone) == [("A", CHANGED), ("B", CHANGED)][: undone.not_reverted_count]
    assert (
        undone.message
        == f"Successfully reverted {2 - undone.not_reverted_count} device(s), left {undone.not_reverted_count}"
    )
    assert api.owners(tenant, "A") == owners
    assert api.owners(tenant, "B") == ([] if all_gone else [ADA])
    assert bool(undone.operation_id) != all_gone
    ledger.check(database, tenant)


def test_what_happened_before_the_operation_does_not_count(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["A"])
    lent_and_returned(api, tenant)
    done = api.unassign(tenant, ADA, ["A"]).operation_id
    assert api.revert(tenant, done).reverted_count == 1


def test_a_change_of_records_is_no_change_of_owners(api: Api, tenant: Tenant) -> None:
    given = api.assign(tenant, ADA, ["A", "B"])
    done = api.unassign(tenant, ADA, ["A"]).operation_id
    api.unassign(tenant, ADA, ["B"])
    api(tenant, "CreateOrUpdateDevice", identifier="A", type="boiler")
    api(tenant, "CreateOrUpdateCustomer", email="new@example.com", telemetron_customer_id=given.customer_id)
    assert left(api.revert(tenant, done)) == []
    assert api.owners(tenant, "A") == ["new@example.com"]


def test_what_was_left_then_is_told_apart_from_what_was_reverted(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["A", "B", "C"])
    done = api.unassign(tenant, ADA, ["C", "B", "A"]).operation_id
    api.assign(tenant, CAT, ["B"])
    assert left(api.revert(tenant, done)) == [("B", CHANGED)]
    assert left(api.revert(tenant, done)) == [("A", REVERTED), ("B", CHANGED), ("C", REVERTED)]


def test_undoing_one_of_two_operations_leaves_the_other(api: Api, tenant: Tenant, database: Database) -> None:
    api.assign(tenant, ADA, ["A"])
    first = api.assign(tenant, BOB, ["A"]).operation_id
    second = api.assign(tenant, CAT, ["A"]).operation_id
    assert left(api.revert(tenant, first)) == [("A", CHANGED)]
    assert api.revert(tenant, second).reverted_count == 1
    assert api.owners(tenant, "A") == [ADA, BOB]
    # In whatever way: undoing the second has changed the owners too.
    assert left(api.revert(tenant, first)) == [("A", CHANGED)]
    ledger.check(database, tenant)


def test_a_preview_names_what_would_be_left(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["A", "B"])
    done = api.unassign(tenant, ADA, ["A", "B"]).operation_id
    api.assign(tenant, CAT, ["A"])
    preview = api.revert(tenant, done, validate_only=True)
    assert (preview.reverted_count, preview.not_reverted_count, preview.operation_id) == (1, 1, "")
    assert left(preview) == [("A", CHANGED)]
    assert api.owners(tenant, "B") == []
