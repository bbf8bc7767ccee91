"""TransferDevices: from one customer to another."""

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from tests.conftest import Tenant, failure
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import ADA, BOB, CAT, Api


def test_devices_move_and_each_is_told_once_in_the_order_of_the_request(
    api: Api, tenant: Tenant, database: Database
) -> None:
    ada = api.assign(tenant, ADA, ["A", "B", "C", "D"])
    bob = api.assign(tenant, BOB, ["Z"])
    answer = api.transfer(tenant, ADA, BOB, ["C", "X", "A", "Z", "C", "X"])
    assert answer.message == "Successfully transferred 2 device(s)"
    assert (answer.from_customer_id, answer.to_customer_id) == (ada.customer_id, bob.customer_id)
    assert not answer.to_customer_was_created
    assert list(answer.transferred_devices) == ["C", "A"]
    assert list(answer.skipped) == ["X", "Z"]
    assert list(answer.skip_reasons) == [pb.SKIP_REASON_UNKNOWN_DEVICE, pb.SKIP_REASON_NOT_ASSIGNED]
    assert (answer.from_device_count, answer.to_device_count) == (2, 3)
    assert api.devices(tenant, ADA) == ["B", "D"]
    assert api.devices(tenant, BOB) == ["A", "C", "Z"]
    assert api(tenant, "ListAssignedDevices", customer_email=ADA).revision == answer.from_revision != ada.revision
    assert api(tenant, "ListAssignedDevices", customer_email=BOB).revision == answer.to_revision != bob.revision
    ledger.check(database, tenant)


def test_it_is_one_operation_of_both_customers_at_one_moment(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["A", "B"])
    answer = api.transfer(tenant, ADA, BOB, ["A", "B"], note="sold")
    done = api.operation(tenant, answer.operation_id)
    both = sorted([answer.from_customer_id, answer.to_customer_id])
    assert (done.kind, done.note) == (pb.OPERATION_KIND_TRANSFER, "sold")
    assert (done.assigned_count, done.unassigned_count) == (2, 2)
    assert list(done.customer_ids) == both
    kinds = {answer.from_customer_id: pb.CHANGE_UNASSIGNED, answer.to_customer_id: pb.CHANGE_ASSIGNED}
    assert api.changes(tenant, answer.operation_id) == [(c, d, kinds[c]) for c in both for d in "AB"]


def test_other_owners_of_a_shared_device_stay(api: Api, tenant: Tenant) -> None:
    for email in (ADA, CAT):
        api.assign(tenant, email, ["A"])
    api.transfer(tenant, ADA, BOB, ["A"])
    assert api.owners(tenant, "A") == [CAT, BOB]


def test_what_the_second_customer_has_already_leaves_the_first_and_counts_as_transferred(
    api: Api, tenant: Tenant, database: Database
) -> None:
    ada = api.assign(tenant, ADA, ["A", "B"])
    bob = api.assign(tenant, BOB, ["A"])
    only_shared = api.transfer(tenant, ADA, BOB, ["A"])
    assert list(only_shared.transferred_devices) == ["A"]
    assert (only_shared.from_device_count, only_shared.to_device_count) == (1, 1)
    assert (only_shared.to_revision, only_shared.from_revision != ada.revision) == (bob.revision, True)
    done = api.operation(tenant, only_shared.operation_id)
    assert (done.assigned_count, done.unassigned_count) == (0, 1)
    assert list(done.customer_ids) == [ada.customer_id]
    assert api.changes(tenant, done.operation_id) == [(ada.customer_id, "A", pb.CHANGE_UNASSIGNED)]
    assert api.owners(tenant, "A") == [BOB]
    ledger.check(database, tenant)


def test_nothing_to_transfer_records_no_operation_and_keeps_both_revisions(
    api: Api, tenant: Tenant, database: Database
) -> None:
    ada, bob = api.assign(tenant, ADA, ["A"]), api.assign(tenant, BOB, ["B"])
    before = ledger.picture(database, tenant)
    answer = api.transfer(tenant, ADA, BOB, ["B", "X"])
    assert (answer.operation_id, answer.from_revision, answer.to_revision) == ("", ada.revision, bob.revision)
    assert ledger.picture(database, tenant) == before


def test_the_second_customer_is_created_unless_they_must_exist(api: Api, tenant: Tenant, database: Database) -> None:
    api.assign(tenant, ADA, ["A"])
    before = ledger.picture(database, tenant)
    failed = failure(lambda: api.transfer(tenant, ADA, BOB, ["A"], require_existing_customer=True))
    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "ERROR_REASON_CUSTOMER_NOT_FOUND")
    assert ledger.picture(database, tenant) == before
    assert api.transfer(tenant, ADA, BOB, ["A"]).to_customer_was_created
    assert api(tenant, "QueryCustomer", email=BOB).name == "bob"


def test_the_first_customer_is_never_created(api: Api, tenant: Tenant, database: Database) -> None:
    api.assign(tenant, BOB, ["B"])
    before = ledger.picture(database, tenant)
    for validate_only in (True, False):
        failed = failure(lambda: api.transfer(tenant, ADA, BOB, ["B"], validate_only=validate_only))  # noqa: B023  # called here
        assert failed.reason == "ERROR_REASON_CUSTOMER_NOT_FOUND"
    assert ledger.picture(database, tenant) == before


def test_require_all_refuses_the_whole_call_and_names_what_would_be_skipped(
    api: Api, tenant: Tenant, database: Database
) -> None:
    api.assign(tenant, ADA, ["A"])
    api.assign(tenant, CAT, ["C"])
    before = ledger.picture(database, tenant)
    failed = failure(lambda: api.transfer(tenant, ADA, BOB, ["A", "C", "X"], require_all=True))
    assert (failed.code.name, failed.reason) == ("FAILED_PRECONDITION", "ERROR_REASON_DEVICES_SKIPPED")
    assert failed.preconditions == [
        ("device_identifiers[1]", "SKIP_REASON_NOT_ASSIGNED"),
        ("device_identifiers[2]", "SKIP_REASON_UNKNOWN_DEVICE"),
    ]
    assert ledger.picture(database, tenant) == before
    assert list(api.transfer(tenant, ADA, BOB, ["A"], require_all=True).transferred_devices) == ["A"]
    assert api.owners(tenant, "A") == [BOB]
    ledger.check(database, tenant)


def test_the_guard_is_the_first_customers_revision(api: Api, tenant: Tenant) -> None:
    ada = api.assign(tenant, ADA, ["A", "B"])
    bob = api.assign(tenant, BOB, ["C"])
    wrong = failure(lambda: api.transfer(tenant, ADA, BOB, ["A"], from_expected_revision=bob.revision))
    assert (wrong.code.name, wrong.reason) == ("ABORTED", "ERROR_REASON_REVISION_MOVED")
    api.transfer(tenant, ADA, BOB, ["A"], from_expected_revision=ada.revision)
    moved = failure(lambda: api.transfer(tenant, ADA, BOB, ["B"], from_expected_revision=ada.revision))
    assert moved.reason == "ERROR_REASON_REVISION_MOVED"
    assert api.devices(tenant, ADA) == ["B"]
