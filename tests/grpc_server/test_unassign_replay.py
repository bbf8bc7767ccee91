"""UnassignDevices' request_id: a repeat gets the first answer and does nothing again."""

from functools import partial
from typing import Any
from uuid import uuid4

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from sqlalchemy import func, select

from service.storage.database import Database
from service.storage.tables import operation
from tests.conftest import Client, Serve, Tenant, failure
from tests.grpc_server.conftest import Run, rows


def test_a_repeat_returns_the_first_answer_in_every_field_and_does_nothing_again(
    client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A", "B", "C"])
    tenant.assign("bob@example.com", ["Z"])
    options = {"request_id": str(uuid4()), "note": "returned"}
    first = client.unassign(tenant, "ada@example.com", ["B", "X", "Z"], **options)
    tenant.assign("ada@example.com", ["B", "N"])
    operations = rows(database, select(func.count()).select_from(operation))
    again = client.unassign(tenant, "ada@example.com", ["B", "X", "Z"], **options)
    assert again == first
    assert list(first.skip_reasons) == [pb.SKIP_REASON_UNKNOWN_DEVICE, pb.SKIP_REASON_NOT_ASSIGNED]
    assert client.devices(tenant, "ada@example.com") == ["A", "B", "C", "N"]
    assert rows(database, select(func.count()).select_from(operation)) == operations


def test_another_spelling_of_the_same_request_is_a_repeat(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@bücher.example", ["A", "B", "C"])
    request_id = "123e4567-e89b-12d3-a456-42661417400a"
    first = client.unassign(tenant, "ada@bücher.example", ["B", "A"], request_id=request_id)
    for email in ("ADA@bücher.example", "Ada@xn--bcher-kva.EXAMPLE"):
        assert client.unassign(tenant, email, ["B", "A", "B", "A"], request_id=request_id.upper()) == first
    full = pb.REMAINING_VIEW_FULL
    assert (
        client.unassign(tenant, "ada@bücher.example", ["B", "A"], request_id=request_id, remaining_view=full) == first
    )


def test_a_request_id_with_other_content_is_refused(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B", "C"])
    tenant.assign("bob@example.com", ["A", "B", "C"])
    fields: dict[str, Any] = {"email": "ada@example.com", "identifiers": ["A", "B"], "request_id": str(uuid4())}
    first = client.unassign(tenant, **fields)
    others: list[dict[str, Any]] = [
        {"identifiers": ["A"]},
        {"identifiers": ["A", "B", "C"]},
        {"identifiers": ["B", "A"]},  # the answer keeps the request's order, so the order is content
        {"identifiers": ["A", "b"]},
        {"email": "bob@example.com"},
        {"email": "nobody@example.com"},
        {"note": "another"},
        {"require_all": True},
        {"expected_revision": "rev_x"},
        {"remaining_view": pb.REMAINING_VIEW_COUNT},
    ]
    for other in others:
        refused = failure(partial(client.unassign, tenant, **{**fields, **other}))
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT, other
        assert refused.reason == "ERROR_REASON_REQUEST_ID_REUSED", other
    assert client.devices(tenant, "ada@example.com") == ["C"]
    assert client.devices(tenant, "bob@example.com") == ["A", "B", "C"]
    assert client.unassign(tenant, **fields) == first


def test_a_call_that_changed_nothing_claims_its_request_id(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    request_id = str(uuid4())
    first = client.unassign(tenant, "ada@example.com", ["B"], request_id=request_id)
    assert list(first.skipped) == ["B"]
    tenant.assign("ada@example.com", ["B"])
    assert client.unassign(tenant, "ada@example.com", ["B"], request_id=request_id) == first
    assert client.devices(tenant, "ada@example.com") == ["A", "B"]
    reused = failure(lambda: client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id))
    assert reused.reason == "ERROR_REASON_REQUEST_ID_REUSED"


def test_errors_are_not_kept(client: Client, tenant: Tenant) -> None:
    options = {"request_id": str(uuid4()), "require_all": True}
    missing = failure(lambda: client.unassign(tenant, "ada@example.com", ["A"], **options))
    assert missing.reason == "ERROR_REASON_CUSTOMER_NOT_FOUND"
    tenant.assign("ada@example.com", ["B"])
    skipped = failure(lambda: client.unassign(tenant, "ada@example.com", ["A"], **options))
    assert skipped.reason == "ERROR_REASON_DEVICES_SKIPPED"
    tenant.assign("ada@example.com", ["A"])
    assert list(client.unassign(tenant, "ada@example.com", ["A"], **options).unassigned_devices) == ["A"]


def test_an_answer_is_remembered_across_a_restart_and_by_every_server(run: Run, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    request_id = str(uuid4())
    one, other = run(), run()
    first = one.client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id)
    assert other.client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id) == first
    assert one.stop()
    assert other.stop()
    assert run().client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id) == first


def test_a_long_answer_is_remembered_whole_with_a_token_that_still_works(serve: Serve, tenant: Tenant) -> None:
    client = serve(max_answer_bytes=65536)
    identifiers = [f"{n:0200d}" for n in range(400)]
    tenant.assign("ada@example.com", identifiers)
    request_id = str(uuid4())
    first = client.unassign(tenant, "ada@example.com", identifiers[:3], request_id=request_id)
    client.unassign(tenant, "ada@example.com", identifiers[300:])
    again = client.unassign(tenant, "ada@example.com", identifiers[:3], request_id=request_id)
    assert again == first
    rest = client.devices(tenant, page_token=again.next_page_token)
    assert [*again.devices_remaining, *rest] == identifiers[3:]


def test_a_request_id_is_a_uuid(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    good = "123e4567-e89b-12d3-a456-426614174000"
    for text in ("x", good.replace("-", ""), f" {good}", f"{good}\n", f"{{{good}}}", "\0", good.replace("1", "\u0661")):
        refused = failure(partial(client.unassign, tenant, "ada@example.com", ["A"], request_id=text))
        assert [field for field, _ in refused.violations] == ["request_id"], text
    assert client.devices(tenant, "ada@example.com") == ["A"]
