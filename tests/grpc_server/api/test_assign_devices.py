"""AssignDevices: many devices to one customer."""

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from tests.conftest import Tenant, failure
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import ADA, BOB, Api


def named(devices: object) -> list[tuple[str, bool]]:
    return [(device.identifier, device.was_created) for device in devices]  # type: ignore[attr-defined]  # a message's


def test_each_device_is_told_once_in_the_order_of_the_request(api: Api, tenant: Tenant, database: Database) -> None:
    first = api.assign(tenant, ADA, ["B"])
    answer = api.assign(tenant, ADA, ["C", "B", "A", "C", "B"])
    assert answer.success
    assert answer.message == "Successfully assigned 2 device(s) to customer"
    assert named(answer.assigned_devices) == [("C", True), ("A", True)]
    assert named(answer.already_assigned) == [("B", False)]
    assert answer.already_assigned[0].device_id == first.assigned_devices[0].device_id
    assert {device.device_id[:4] for device in answer.assigned_devices} == {"dev_"}
    assert answer.customer_id == first.customer_id
    assert (first.customer_was_created, answer.customer_was_created) == (True, False)
    assert answer.device_count == 3
    assert api.devices(tenant, ADA) == ["A", "B", "C"]
    page = api(tenant, "ListAssignedDevices", customer_email=ADA)
    assert page.revision == answer.revision != first.revision
    ledger.check(database, tenant)


def test_a_new_customer_is_named_after_the_local_part_and_shown_as_given(api: Api, tenant: Tenant) -> None:
    answer = api.assign(tenant, "Ada.Byron+x@EXAMPLE.com", ["A"])
    customer = api(tenant, "QueryCustomer", email="ada.byron+X@example.COM")
    assert (customer.id, customer.name) == (answer.customer_id, "Ada.Byron+x")
    assert customer.email == "Ada.Byron+x@EXAMPLE.com"
    assert list(customer.devices) == ["A"]


def test_unknown_devices_are_skipped_unless_they_may_be_created(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, BOB, ["A"])
    answer = api.assign(tenant, ADA, ["X", "A", "Y", "X"], auto_create_devices=False)
    assert list(answer.skipped) == ["X", "Y"]
    assert named(answer.assigned_devices) == [("A", False)]
    assert failure(lambda: api(tenant, "GetDevice", identifier="X")).reason == "ERROR_REASON_DEVICE_NOT_FOUND"
    answer = api.assign(tenant, ADA, ["X"], device_type="boiler")
    assert named(answer.assigned_devices) == [("X", True)]
    assert not answer.skipped
    assert api(tenant, "GetDevice", identifier="X").type == "boiler"


def test_a_device_that_is_there_keeps_its_type_and_its_owners(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["A"], device_type="lamp")
    api.assign(tenant, BOB, ["A"], device_type="boiler")
    assert api(tenant, "GetDevice", identifier="A").type == "lamp"
    assert api.owners(tenant, "A") == [ADA, BOB]


def test_a_mistyped_address_does_not_become_an_owner_if_the_customer_must_exist(
    api: Api, tenant: Tenant, database: Database
) -> None:
    api.assign(tenant, ADA, ["A"])
    before = ledger.picture(database, tenant)
    failed = failure(lambda: api.assign(tenant, "adda@example.com", ["A", "N"], require_existing_customer=True))
    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "ERROR_REASON_CUSTOMER_NOT_FOUND")
    assert ledger.picture(database, tenant) == before
    assert not api.assign(tenant, ADA, ["B"], require_existing_customer=True).customer_was_created


def test_one_call_is_one_operation(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["A"])
    answer = api.assign(tenant, ADA, ["A", "B", "C"], note="delivered")
    done = api.operation(tenant, answer.operation_id)
    assert done.kind == pb.OPERATION_KIND_ASSIGN
    assert (done.assigned_count, done.unassigned_count) == (2, 0)
    assert list(done.customer_ids) == [answer.customer_id]
    assert (done.note, done.key_id, done.reverts_operation_id) == ("delivered", tenant.key_id, "")
    assert api.changes(tenant, answer.operation_id) == [
        (answer.customer_id, "B", pb.CHANGE_ASSIGNED),
        (answer.customer_id, "C", pb.CHANGE_ASSIGNED),
    ]


def test_a_call_that_assigns_nothing_records_no_operation_and_keeps_the_revision(
    api: Api, tenant: Tenant, database: Database
) -> None:
    first = api.assign(tenant, ADA, ["A"])
    before = ledger.picture(database, tenant)
    again = api.assign(tenant, ADA, ["A"])
    assert (again.operation_id, again.revision, again.device_count) == ("", first.revision, 1)
    assert named(again.already_assigned) == [("A", False)]
    assert ledger.picture(database, tenant) == before
    assert len(api.operations(tenant)) == 1


def test_20_000_devices_go_in_one_call_and_one_more_is_refused(api: Api, tenant: Tenant) -> None:
    identifiers = [f"{number:05}-{'x' * 140}" for number in range(20_000)]
    answer = api.assign(tenant, ADA, identifiers)
    assert [device.identifier for device in answer.assigned_devices] == identifiers
    assert answer.device_count == 20_000
    failed = failure(lambda: api.assign(tenant, ADA, [f"{number}" for number in range(20_001)]))
    assert failed.violations == [("device_identifiers", "must have at most 20000 members, but has 20001")]
