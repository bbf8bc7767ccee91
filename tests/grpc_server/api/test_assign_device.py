"""AssignDevice: one device to many customers."""

from typing import Any

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from tests.conftest import Tenant, failure
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import ADA, BOB, CAT, Api


def give(api: Api, tenant: Tenant, identifier: str, emails: list[str], **options: Any) -> Any:
    options = {"auto_create_device": True, "device_type": "lamp", **options}
    return api(tenant, "AssignDevice", device_identifier=identifier, customer_emails=emails, **options)


def told(customers: Any) -> list[tuple[str, bool]]:
    return [(customer.email, customer.was_created) for customer in customers]


def test_every_customer_asked_for_is_told_once_in_their_order(api: Api, tenant: Tenant, database: Database) -> None:
    first = give(api, tenant, "A", [BOB])
    answer = give(api, tenant, "A", [CAT, BOB, ADA, CAT])
    assert answer.message == "Device successfully assigned to 3 customer(s)"
    assert told(answer.assigned_customers) == [(CAT, True), (BOB, False), (ADA, True)]
    assert told(answer.already_assigned) == [(BOB, False)]
    assert answer.already_assigned[0] == answer.assigned_customers[1]
    assert answer.assigned_customers[1].customer_id == first.assigned_customers[0].customer_id
    assert (answer.device_id, answer.device_was_created) == (first.device_id, False)
    assert first.device_was_created
    assert sorted(api.owners(tenant, "A")) == [ADA, BOB, CAT]
    ledger.check(database, tenant)


def test_it_is_one_operation_of_all_the_customers_that_it_changed(api: Api, tenant: Tenant) -> None:
    give(api, tenant, "A", [BOB])
    answer = give(api, tenant, "A", [ADA, BOB, CAT], note="a family")
    new = sorted(customer.customer_id for customer in answer.assigned_customers if customer.was_created)
    done = api.operation(tenant, answer.operation_id)
    assert (done.kind, done.note) == (pb.OPERATION_KIND_ASSIGN, "a family")
    assert (done.assigned_count, done.unassigned_count) == (2, 0)
    assert list(done.customer_ids) == new
    changes = [(customer_id, "A", pb.CHANGE_ASSIGNED) for customer_id in new]
    assert sorted(api.changes(tenant, answer.operation_id)) == changes


def test_when_all_have_it_already_there_is_no_operation(api: Api, tenant: Tenant, database: Database) -> None:
    give(api, tenant, "A", [ADA, BOB])
    before = ledger.picture(database, tenant)
    answer = give(api, tenant, "A", [BOB, ADA])
    assert answer.operation_id == ""
    assert told(answer.assigned_customers) == told(answer.already_assigned) == [(BOB, False), (ADA, False)]
    assert ledger.picture(database, tenant) == before


def test_an_unknown_device_is_not_found_and_no_customer_is_created(
    api: Api, tenant: Tenant, database: Database
) -> None:
    before = ledger.picture(database, tenant)
    failed = failure(lambda: give(api, tenant, "X", [ADA], auto_create_device=False))
    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "ERROR_REASON_DEVICE_NOT_FOUND")
    assert ledger.picture(database, tenant) == before


def test_one_unknown_customer_is_not_found_if_they_must_exist_and_nothing_is_done(
    api: Api, tenant: Tenant, database: Database
) -> None:
    give(api, tenant, "A", [ADA])
    before = ledger.picture(database, tenant)
    failed = failure(lambda: give(api, tenant, "B", [ADA, BOB], require_existing_customer=True))
    assert failed.reason == "ERROR_REASON_CUSTOMER_NOT_FOUND"
    assert ledger.picture(database, tenant) == before


def test_an_address_spelt_twice_is_shown_as_it_was_first_given(api: Api, tenant: Tenant) -> None:
    spellings = ["Ada@Example.com", "ada@example.com", "ADA@EXAMPLE.COM"]
    preview = give(api, tenant, "A", spellings, validate_only=True)
    answer = give(api, tenant, "A", spellings)
    assert told(answer.assigned_customers) == told(preview.assigned_customers) == [("Ada@Example.com", True)]
    assert answer.message == "Device successfully assigned to 1 customer(s)"
    assert api(tenant, "QueryCustomer", email=ADA).email == "Ada@Example.com"


def test_a_thousand_customers_take_one_device_and_one_more_is_refused(
    api: Api, tenant: Tenant, database: Database
) -> None:
    emails = [f"c{number}@example.com" for number in range(1_000)]
    answer = give(api, tenant, "A", emails)
    assert [customer.email for customer in answer.assigned_customers] == emails
    assert api.operation(tenant, answer.operation_id).assigned_count == 1_000
    failed = failure(lambda: give(api, tenant, "A", [*emails, ADA]))
    assert failed.violations == [("customer_emails", "must have at most 1000 members, but has 1001")]
    ledger.check(database, tenant)
