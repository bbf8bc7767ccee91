"""Two organisations with the same e-mail addresses and identifiers: nothing crosses, in any rpc."""

import pytest

from service.storage.database import Database
from tests.conftest import Tenant, failure
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import ADA, BOB, METHODS, Api
from tests.grpc_server.api.writes import WRITES, World, Write

# By id, or for a list: none of the answers may tell of the other organisation.
READS = {
    "LookupOwners",
    "ListAssignedDevices",
    "ListOperations",
    "GetOperation",
    "ListOperationChanges",
    "WatchOperations",
    "QueryCustomer",
    "GetCustomer",
    "ListCustomers",
    "GetDevice",
    "ListDevices",
}


def test_every_method_is_tested_here() -> None:
    assert READS | {write.method for write in WRITES} == set(METHODS)


@pytest.mark.parametrize("write", WRITES, ids=str)
def test_a_write_leaves_the_other_organisation_as_it_is(
    api: Api, tenant: Tenant, other: Tenant, database: Database, write: Write
) -> None:
    world, _ = World(api, tenant), World(api, other)
    before = ledger.picture(database, other)
    api(tenant, write.method, **world.fields(write))
    assert ledger.picture(database, other) == before
    ledger.check(database, tenant)


def test_what_only_the_other_organisation_has_looks_unknown(
    api: Api, tenant: Tenant, other: Tenant, database: Database
) -> None:
    given = api.assign(other, ADA, ["A"])
    before = ledger.picture(database, other)
    for method, fields in (
        ("UnassignDevices", {"customer_email": ADA, "device_identifiers": ["A"]}),
        ("UnassignDevice", {"customer_email": ADA, "device_identifier": "A"}),
        ("UnassignAllDevices", {"customer_email": ADA, "expected_count": 1}),
        ("TransferDevices", {"from_customer_email": ADA, "to_customer_email": BOB, "device_identifiers": ["A"]}),
        ("AssignDevice", {"customer_emails": [BOB], "device_identifier": "A"}),
        ("ListAssignedDevices", {"customer_email": ADA}),
        ("ListAssignedDevices", {"customer_id": given.customer_id}),
        ("ListOperations", {"customer_email": ADA}),
        ("ListOperations", {"device_identifier": "A"}),
        ("GetOperation", {"operation_id": given.operation_id}),
        ("ListOperationChanges", {"operation_id": given.operation_id}),
        ("RevertOperation", {"operation_id": given.operation_id}),
        ("QueryCustomer", {"email": ADA}),
        ("GetCustomer", {"telemetron_customer_id": given.customer_id}),
        ("CreateOrUpdateCustomer", {"email": ADA, "telemetron_customer_id": given.customer_id}),
        ("GetDevice", {"identifier": "A"}),
    ):
        assert failure(lambda: api(tenant, method, **fields)).code.name == "NOT_FOUND", method  # noqa: B023  # called here
    assert failure(lambda: list(api(tenant, "WatchOperations", customer_email=ADA))).code.name == "NOT_FOUND"
    answer = api.assign(tenant, BOB, ["A"], auto_create_devices=False)
    assert list(answer.skipped) == ["A"]
    answer = api(tenant, "BulkUpdateDeviceMetadata", devices=[{"identifier": "A", "metadata": {"a": 1}}])
    assert (answer.updated, answer.not_found) == (0, 1)
    assert not api(tenant, "LookupOwners", device_identifiers=["A"]).results[0].found
    assert api.operations(tenant, key_id=other.key_id) == []
    assert ledger.picture(database, other) == before


def test_lists_and_lookups_tell_of_the_callers_organisation_alone(api: Api, tenant: Tenant, other: Tenant) -> None:
    mine, theirs = api.assign(tenant, ADA, ["A", "B"]), api.assign(other, ADA, ["A", "C"])
    api.assign(other, BOB, ["A"])
    assert api.owners(tenant, "A") == [ADA]
    owner = api(tenant, "LookupOwners", device_identifiers=["A"]).results[0].owners[0]
    assert owner.customer_id == mine.customer_id != theirs.customer_id
    assert api.devices(tenant, ADA) == ["A", "B"]
    assert [operation.operation_id for operation in api.operations(tenant)] == [mine.operation_id]
    assert [operation.operation_id for operation in api.operations(tenant, customer_email=ADA)] == [mine.operation_id]
    assert [op.operation_id for op in api.operations(tenant, device_identifier="A")] == [mine.operation_id]
    assert [customer.id for customer in api(tenant, "ListCustomers").customers] == [mine.customer_id]
    assert api(tenant, "QueryCustomer", email=ADA).organization_id == tenant.id
    listed = api(tenant, "ListDevices").devices
    assert [device.identifier for device in listed] == ["A", "B"]
    assert listed[0].device_id == mine.assigned_devices[0].device_id
    stream = api(tenant, "WatchOperations")
    assert next(stream).operation.operation_id == mine.operation_id
    own = api.unassign(tenant, ADA, ["A"])
    assert next(stream).operation.operation_id == own.operation_id
    stream.cancel()


def test_page_tokens_and_revisions_of_the_other_organisation_are_worth_nothing(
    api: Api, tenant: Tenant, other: Tenant
) -> None:
    theirs = api.assign(other, ADA, ["A", "B"])
    api.assign(tenant, ADA, ["A"])
    token = api(other, "ListAssignedDevices", customer_email=ADA, page_size=1).next_page_token
    failed = failure(lambda: api(tenant, "ListAssignedDevices", page_token=token))
    assert failed.code.name == "NOT_FOUND"
    failed = failure(lambda: api(tenant, "ListAssignedDevices", customer_email=ADA, page_token=token))
    assert failed.violations[0][0] == "page_token"
    failed = failure(lambda: api.assign(tenant, ADA, ["B"], expected_revision=theirs.revision))
    assert failed.reason == "ERROR_REASON_REVISION_MOVED"


def test_a_request_id_belongs_to_one_organisation(api: Api, tenant: Tenant, other: Tenant) -> None:
    request_id = "6b1b36cb-4c42-4c2e-8a35-3a1b8f4f7c55"
    mine = api.assign(tenant, ADA, ["A"], request_id=request_id)
    theirs = api.assign(other, BOB, ["B"], request_id=request_id)
    assert mine.operation_id != theirs.operation_id
    assert api.devices(other, BOB) == ["B"]
