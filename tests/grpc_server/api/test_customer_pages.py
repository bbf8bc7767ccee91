"""Customers' devices and lists of customers, bounded and continued."""

from tests.conftest import Tenant
from tests.grpc_server.api.client import ADA, BOB, Api
from tests.grpc_server.api.conftest import Start

BYTES = 65_536


def test_the_devices_of_a_customer_stop_where_the_answer_is_full_and_go_on_by_the_token(
    start: Start, tenant: Tenant
) -> None:
    _, api = start(max_answer_bytes=BYTES)
    identifiers = [f"{number:04}{'🙂' * 60}" for number in range(500)]
    given = api.assign(tenant, ADA, identifiers)
    for method, fields in (
        ("QueryCustomer", {"email": ADA}),
        ("GetCustomer", {"telemetron_customer_id": given.customer_id}),
    ):
        found = api(tenant, method, **fields)
        assert BYTES / 2 < found.ByteSize() <= BYTES
        assert found.device_count == 500
        # The list is that of the moment of the answer, whatever happens meanwhile.
        api.unassign(tenant, ADA, identifiers[-3:])
        rest = api.devices(tenant, "", page_token=found.next_page_token)
        assert list(found.devices) + rest == identifiers
        api.assign(tenant, ADA, identifiers[-3:])
    listed = api(tenant, "ListCustomers").customers[0]
    assert list(listed.devices) + api.devices(tenant, "", page_token=listed.next_page_token) == identifiers


def test_a_customer_whose_devices_fit_has_no_token(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["b", "é", "A", "🙂", "Z"])
    found = api(tenant, "QueryCustomer", email=ADA)
    assert list(found.devices) == ["A", "Z", "b", "é", "🙂"]
    assert (found.device_count, found.next_page_token) == (5, "")


def test_a_customer_with_the_biggest_metadata_still_fits_and_leaves_the_devices_to_the_token(
    start: Start, tenant: Tenant
) -> None:
    _, api = start(max_answer_bytes=BYTES)
    given = api.assign(tenant, ADA, ["A", "B"])
    metadata = {"text": "x" * 60_000}
    api(tenant, "CreateOrUpdateCustomer", email=ADA, telemetron_customer_id=given.customer_id, metadata=metadata)
    found = api(tenant, "QueryCustomer", email=ADA)
    assert (found.device_count, dict(found.metadata)) == (2, metadata)
    assert list(found.devices) + api.devices(tenant, "", page_token=found.next_page_token) == ["A", "B"]


def all_customers(api: Api, tenant: Tenant, size: int) -> tuple[list[str], int]:
    found, token, pages = [], "", 0
    while True:
        page = api(tenant, "ListCustomers", page_size=size, page_token=token)
        assert len(page.customers) <= (size or 1_000)
        found += [customer.id for customer in page.customers]
        pages += 1
        token = page.next_page_token
        if not token:
            return found, pages


def test_customers_are_listed_by_id_in_pages(api: Api, tenant: Tenant) -> None:
    emails = [f"c{number}@example.com" for number in range(7)]
    answer = api(
        tenant,
        "AssignDevice",
        device_identifier="A",
        customer_emails=emails,
        auto_create_device=True,
        device_type="lamp",
    )
    expected = sorted(customer.customer_id for customer in answer.assigned_customers)
    for size, pages in ((0, 1), (1, 7), (3, 3), (7, 1), (10_001, 1)):
        assert all_customers(api, tenant, size) == (expected, pages)
    assert all(list(customer.devices) == ["A"] for customer in api(tenant, "ListCustomers").customers)


def test_a_page_of_customers_with_many_devices_keeps_to_the_answers_size(start: Start, tenant: Tenant) -> None:
    _, api = start(max_answer_bytes=BYTES)
    for number in range(12):
        api.assign(tenant, f"c{number}@example.com", [f"{device:04}{'x' * 200}" for device in range(70)])
    api.assign(tenant, BOB, [f"{device:04}{'x' * 200}" for device in range(700)])
    page = api(tenant, "ListCustomers")
    assert BYTES / 3 < page.ByteSize() <= BYTES
    found, pages = all_customers(api, tenant, 0)
    assert len(set(found)) == len(found) == 13
    assert pages > 3


def test_an_organisation_without_customers_has_an_empty_list(api: Api, tenant: Tenant) -> None:
    answer = api(tenant, "ListCustomers")
    assert (list(answer.customers), answer.next_page_token) == ([], "")
