"""Two organisations with the same e-mails, identifiers and request ids: nothing crosses."""

from typing import Any
from uuid import uuid4

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from tests.conftest import Client, Tenant, failure, new_tenant
from tests.grpc_server.api import ledger


@pytest.fixture
def other(database: Database) -> Tenant:
    """Another organisation."""
    return new_tenant(database, "other")


def belongings(database: Database, tenant: Tenant) -> dict[str, list[Any]]:
    """All of an organisation's rows."""
    return ledger.picture(database, tenant)


def test_an_operation_touches_nothing_of_another_organisation(
    client: Client, tenant: Tenant, other: Tenant, database: Database
) -> None:
    for who in (tenant, other):
        who.assign("ada@example.com", ["A", "B", "C"])
    theirs = belongings(database, other)
    answer = client.unassign(tenant, "ada@example.com", ["A", "B"], request_id=str(uuid4()), note="ours")
    assert list(answer.devices_remaining) == ["C"]
    assert belongings(database, other) == theirs
    assert client.devices(other, "ada@example.com") == ["A", "B", "C"]


def test_another_organisation_s_customers_and_devices_look_exactly_like_unknown_ones(
    client: Client, tenant: Tenant, other: Tenant
) -> None:
    other.assign("eve@example.com", ["E"])
    tenant.assign("ada@example.com", ["A"])
    eve = client.unassign(other, "eve@example.com", ["X"]).customer_id
    for theirs, unknown in (
        (
            failure(lambda: client.unassign(tenant, "eve@example.com", ["E"])),
            failure(lambda: client.unassign(tenant, "nobody@example.com", ["E"])),
        ),
        (
            failure(lambda: client.page(tenant, customer_id=eve)),
            failure(lambda: client.page(tenant, customer_id="cust_0")),
        ),
        (
            failure(lambda: client.page(tenant, "eve@example.com")),
            failure(lambda: client.page(tenant, "no@example.com")),
        ),
    ):
        assert (theirs.code, theirs.reason, theirs.text) == (unknown.code, unknown.reason, unknown.text)
    answer = client.unassign(tenant, "ada@example.com", ["E", "unknown"])
    assert list(answer.skip_reasons) == [pb.SKIP_REASON_UNKNOWN_DEVICE] * 2


def test_a_request_id_belongs_to_its_organisation(client: Client, tenant: Tenant, other: Tenant) -> None:
    for who in (tenant, other):
        who.assign("ada@example.com", ["A", "B"])
    request_id = str(uuid4())
    ours = client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id)
    theirs = client.unassign(other, "ada@example.com", ["A"], request_id=request_id)
    assert list(theirs.unassigned_devices) == ["A"]
    assert theirs.operation_id != ours.operation_id
    different = client.unassign(other, "ada@example.com", ["B"], request_id=str(uuid4()))
    assert list(different.unassigned_devices) == ["B"]
    assert client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id) == ours


def test_revisions_and_pages_do_not_cross(client: Client, tenant: Tenant, other: Tenant) -> None:
    for who in (tenant, other):
        who.assign("ada@example.com", ["A", "B"])
    ours, theirs = (
        client.page(tenant, "ada@example.com", page_size=1),
        client.page(other, "ada@example.com", page_size=1),
    )
    assert ours.revision != theirs.revision
    assert ours.devices[0].device_id != theirs.devices[0].device_id
    moved = failure(lambda: client.unassign(tenant, "ada@example.com", ["A"], expected_revision=theirs.revision))
    assert moved.reason == "ERROR_REASON_REVISION_MOVED"
    assert failure(lambda: client.page(tenant, page_token=theirs.next_page_token)).code.name == "NOT_FOUND"
