"""ListAssignedDevices through a real server and client: whose devices, and in which pages."""

import base64
from functools import partial

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from sqlalchemy import select

from service.domain.tokens import PageToken
from service.storage.database import Database
from service.storage.tables import device
from tests.conftest import Client, Tenant, failure, new_tenant
from tests.grpc_server.conftest import rows


def token(json_text: str) -> str:
    return base64.urlsafe_b64encode(json_text.encode()).decode().rstrip("=")


def test_pages_follow_each_other_in_the_order_of_the_identifiers(
    client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["d", "A", "\U0001f600", "\uff5e", "c"])
    tenant.assign("bob@example.com", ["b"])
    ordered = ["A", "c", "d", "\uff5e", "\U0001f600"]
    first = client.page(tenant, "ada@example.com", page_size=2)
    second = client.page(tenant, page_token=first.next_page_token, page_size=2)
    third = client.page(tenant, page_token=second.next_page_token, page_size=2)
    pages = [first, second, third]
    assert [[d.device_identifier for d in page.devices] for page in pages] == [ordered[:2], ordered[2:4], ordered[4:]]
    assert third.next_page_token == ""
    assert {(page.total_count, page.revision) for page in pages} == {(5, first.revision)}
    ids = dict(rows(database, select(device.c.identifier, device.c.id)))
    assert [d.device_id for page in pages for d in page.devices] == [ids[identifier] for identifier in ordered]


def test_a_page_that_takes_all_has_no_token(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    page = client.page(tenant, "ada@example.com", page_size=2)
    assert len(page.devices) == 2
    assert page.next_page_token == ""


def test_a_page_has_1_000_devices_unless_asked_and_10_000_at_most(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", [str(n) for n in range(10_001)])
    sizes = {size: len(client.page(tenant, "ada@example.com", page_size=size).devices) for size in (0, 1, 10_000)}
    assert sizes == {0: 1_000, 1: 1, 10_000: 10_000}
    most = client.page(tenant, "ada@example.com", page_size=2**31 - 1)
    assert len(most.devices) == 10_000
    assert len(client.page(tenant, page_token=most.next_page_token).devices) == 1
    for size in (-1, -(2**31)):
        negative = failure(partial(client.page, tenant, "ada@example.com", page_size=size))
        assert [field for field, _ in negative.violations] == ["page_size"]


def test_a_customer_is_named_by_email_or_by_id_and_not_by_both(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    customer_id = client.unassign(tenant, "ada@example.com", ["B"]).customer_id
    by_email = client.page(tenant, "ADA@example.com")
    by_id = client.page(tenant, customer_id=customer_id)
    assert by_id.as_of.ToNanoseconds() > by_email.as_of.ToNanoseconds()
    by_id.as_of.CopyFrom(by_email.as_of)
    assert by_id == by_email
    both = failure(lambda: client.page(tenant, "ada@example.com", customer_id=customer_id))
    assert (both.reason, [field for field, _ in both.violations]) == ("ERROR_REASON_INVALID_FIELDS", ["customer_id"])
    neither = failure(lambda: client.page(tenant))
    assert [field for field, _ in neither.violations] == ["customer_email"]
    bad = failure(lambda: client.page(tenant, "nobody"))
    assert [field for field, _ in bad.violations] == ["customer_email"]


def test_a_token_may_come_with_its_own_customer(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    customer_id = client.unassign(tenant, "ada@example.com", ["X"]).customer_id
    page_token = client.page(tenant, "ada@example.com", page_size=1).next_page_token
    alone = client.page(tenant, page_token=page_token)
    assert client.page(tenant, "ada@example.com", page_token=page_token) == alone
    assert client.page(tenant, customer_id=customer_id, page_token=page_token) == alone
    assert [found.device_identifier for found in alone.devices] == ["B"]


def test_an_unknown_customer_is_not_found_however_strange_the_id(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    for strange in ("cust_0", "\0", "a\0b", "%", "'", "\U0001f600", "\ud7ff", " ", "x" * 60_000, "\ufffe"):
        missing = failure(partial(client.page, tenant, customer_id=strange))
        assert (missing.code, missing.reason) == (grpc.StatusCode.NOT_FOUND, "ERROR_REASON_CUSTOMER_NOT_FOUND")
    assert failure(lambda: client.page(tenant, "nobody@example.com")).code is grpc.StatusCode.NOT_FOUND


def test_a_token_that_is_none_is_refused(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    good = client.page(tenant, "ada@example.com", page_size=1).next_page_token
    garbage = [
        "!",
        "\0",
        "\U0001f600",
        "abc",
        "=",
        good[:-3],
        good + "x",
        "A" * 5_000,
        "[" * 3_000,
        *map(
            token,
            [
                "null",
                "{}",
                "[]",
                '["devices","c",0]',
                '["devices","c",-1,""]',
                '["devices","c",1.5,""]',
                '["devices","c",9223372036854775808,""]',
            ],
        ),
        *map(
            token,
            [
                '["devices","c","0",""]',
                '["devices",1,0,""]',
                '["c",0,""]',
                '["devices","c",0,"\\u0000"]',
                '["devices","c",0,"\\ud800"]',
                '["devices","\\ud800",0,""]',
                "[" * 3_000,
            ],
        ),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ]
    for text in garbage:
        refused = failure(partial(client.page, tenant, page_token=text))
        assert (refused.reason, [field for field, _ in refused.violations]) == (
            "ERROR_REASON_INVALID_FIELDS",
            ["page_token"],
        ), text


def test_a_token_of_another_customer_or_of_a_revision_to_come_is_refused(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    tenant.assign("bob@example.com", ["A", "B"])
    bobs = client.page(tenant, "bob@example.com", page_size=1).next_page_token
    to_come = PageToken(PageToken.decode(bobs).customer_id, 2, "").encode()
    largest = PageToken(PageToken.decode(bobs).customer_id, 2**63 - 1, "").encode()
    for email, text in (("ada@example.com", bobs), ("bob@example.com", to_come), ("", to_come), ("", largest)):
        refused = failure(partial(client.page, tenant, email, page_token=text))
        assert [field for field, _ in refused.violations] == ["page_token"]
    missing = failure(partial(client.page, tenant, page_token=PageToken("cust_0", 1, "").encode()))
    assert missing.reason == "ERROR_REASON_CUSTOMER_NOT_FOUND"
    forged = failure(partial(client.page, tenant, page_token=PageToken("a\0b", 1, "").encode()))
    assert [field for field, _ in forged.violations] == ["page_token"]


def test_a_token_of_another_organisation_names_nobody(client: Client, tenant: Tenant, database: Database) -> None:
    other = new_tenant(database, "other")
    other.assign("ada@example.com", ["A", "B"])
    theirs = client.page(other, "ada@example.com", page_size=1).next_page_token
    assert failure(lambda: client.page(tenant, page_token=theirs)).reason == "ERROR_REASON_CUSTOMER_NOT_FOUND"
    tenant.assign("ada@example.com", ["A", "B"])
    refused = failure(lambda: client.page(tenant, "ada@example.com", page_token=theirs))
    assert [field for field, _ in refused.violations] == ["page_token"]


def test_all_pages_of_a_listing_show_the_moment_of_the_first(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B", "C", "D"])
    first = client.page(tenant, "ada@example.com", page_size=1)
    client.unassign(tenant, "ada@example.com", ["A", "B", "D"])
    tenant.assign("ada@example.com", ["AA", "D", "E"])
    rest = client.page(tenant, page_token=first.next_page_token)
    assert [found.device_identifier for found in rest.devices] == ["B", "C", "D"]
    assert (rest.total_count, rest.revision) == (4, first.revision)
    assert client.devices(tenant, "ada@example.com") == ["AA", "C", "D", "E"]


def test_a_customer_without_devices_has_an_empty_list(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    revision = client.unassign(tenant, "ada@example.com", ["A"]).revision
    page = client.page(tenant, "ada@example.com")
    assert page == pb.ListAssignedDevicesResponse(revision=revision, as_of=page.as_of)
