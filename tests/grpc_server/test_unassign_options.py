"""UnassignDevices' options: require_all, validate_only, expected_revision, note."""

from functools import partial
from uuid import uuid4

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from sqlalchemy import select

from service.storage.database import Database
from service.storage.tables import (
    assignment,
    customer,
    customer_revision,
    metadata,
    operation,
    past_assignment,
    reply,
)
from tests.conftest import Client, Serve, Tenant, failure
from tests.grpc_server.conftest import rows

TABLES = (assignment, past_assignment, customer, customer_revision, operation, reply)


def state(database: Database) -> list[list[tuple[object, ...]]]:
    assert set(TABLES) < set(metadata.tables.values())
    return [rows(database, select(table).order_by(*table.primary_key.columns)) for table in TABLES]


def test_require_all_refuses_any_skip_and_changes_nothing(client: Client, tenant: Tenant, database: Database) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    tenant.assign("bob@example.com", ["Z"])
    before = state(database)
    for validate_only in (False, True):
        options = {"require_all": True, "validate_only": validate_only}
        wanted = ["A", "X", "A", "Z", "X", "B"]
        refused = failure(partial(client.unassign, tenant, "ada@example.com", wanted, **options))
        assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
        assert refused.reason == "ERROR_REASON_DEVICES_SKIPPED"
        assert refused.preconditions == [
            ("device_identifiers[1]", "SKIP_REASON_UNKNOWN_DEVICE"),
            ("device_identifiers[3]", "SKIP_REASON_NOT_ASSIGNED"),
            ("device_identifiers[4]", "SKIP_REASON_UNKNOWN_DEVICE"),
        ]
    assert state(database) == before


def test_require_all_works_where_nothing_is_skipped(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B", "C"])
    answer = client.unassign(tenant, "ada@example.com", ["C", "A", "C"], require_all=True)
    assert list(answer.unassigned_devices) == ["C", "A"]
    assert list(answer.devices_remaining) == ["B"]
    assert client.devices(tenant, "ada@example.com") == ["B"]
    assert answer.operation_id


def test_a_preview_answers_what_the_call_then_answers_and_changes_nothing(
    client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A", "B", "C"])
    tenant.assign("bob@example.com", ["Z"])
    before = state(database)
    wanted = ["C", "X", "A", "C", "Z"]
    preview = client.unassign(tenant, "ada@example.com", wanted, validate_only=True, note="why")
    assert state(database) == before
    assert preview.operation_id == ""
    assert preview.revision == client.page(tenant, "ada@example.com").revision
    real = client.unassign(tenant, "ada@example.com", wanted, note="why")
    assert real.operation_id
    assert real.revision != preview.revision
    real.operation_id, real.revision = "", preview.revision
    assert preview == real


def test_a_preview_looks_at_no_request_id(client: Client, tenant: Tenant, database: Database) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    request_id = str(uuid4())
    client.unassign(tenant, "ada@example.com", ["A"], validate_only=True, request_id=request_id)
    assert rows(database, select(reply)) == []
    client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id)
    other = client.unassign(tenant, "ada@example.com", ["B"], validate_only=True, request_id=request_id)
    assert list(other.unassigned_devices) == ["B"]
    same = client.unassign(tenant, "ada@example.com", ["A"], validate_only=True, request_id=request_id)
    assert list(same.skipped) == ["A"]


def test_a_preview_gives_out_no_page_token(serve: Serve, tenant: Tenant) -> None:
    client = serve(max_answer_bytes=65536)
    tenant.assign("ada@example.com", [f"{n:0200d}" for n in range(500)])
    preview = client.unassign(tenant, "ada@example.com", [f"{7:0200d}"], validate_only=True)
    assert preview.next_page_token == ""
    assert preview.remaining_count == 499
    assert 0 < len(preview.devices_remaining) < 499
    assert preview.ByteSize() <= 65536
    real = client.unassign(tenant, "ada@example.com", [f"{7:0200d}"])
    assert list(preview.devices_remaining) == list(real.devices_remaining)


def test_the_expected_revision_guards_against_a_change_in_between(
    client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A", "B", "C"])
    tenant.assign("bob@example.com", ["A"])
    start = client.page(tenant, "ada@example.com").revision
    first = client.unassign(tenant, "ada@example.com", ["A"], expected_revision=start)
    before = state(database)
    for stale in (start, client.page(tenant, "bob@example.com").revision, "1", "\0", "rev_" + "9" * 1000):
        for validate_only in (False, True):
            options = {"expected_revision": stale, "validate_only": validate_only}
            moved = failure(partial(client.unassign, tenant, "ada@example.com", ["B"], **options))
            assert (moved.code, moved.reason) == (grpc.StatusCode.ABORTED, "ERROR_REASON_REVISION_MOVED")
            assert moved.retry_seconds is None  # the same call would fail again
    assert state(database) == before
    second = client.unassign(tenant, "ada@example.com", ["B"], expected_revision=first.revision)
    assert list(second.unassigned_devices) == ["B"]
    nothing = client.unassign(tenant, "ada@example.com", ["B"], expected_revision=second.revision)
    assert nothing.revision == second.revision


def test_the_expected_revision_moves_with_an_import_too(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    start = client.page(tenant, "ada@example.com").revision
    tenant.assign("ada@example.com", ["B"])
    moved = failure(lambda: client.unassign(tenant, "ada@example.com", ["A"], expected_revision=start))
    assert moved.reason == "ERROR_REASON_REVISION_MOVED"
    assert client.devices(tenant, "ada@example.com") == ["A", "B"]


def test_a_note_has_up_to_500_characters(client: Client, tenant: Tenant, database: Database) -> None:
    tenant.assign("ada@example.com", ["A"])
    refused = failure(lambda: client.unassign(tenant, "ada@example.com", ["A"], note="\U0001f600" * 501))
    assert [field for field, _ in refused.violations] == ["note"]
    assert "500" in refused.violations[0][1]
    nul = failure(lambda: client.unassign(tenant, "ada@example.com", ["A"], note="a\0b"))
    assert [field for field, _ in nul.violations] == ["note"]
    answer = client.unassign(tenant, "ada@example.com", ["A"], note="\U0001f600" * 500)
    [(note,)] = rows(database, select(operation.c.note).where(operation.c.id == answer.operation_id))
    assert note == "\U0001f600" * 500


def test_an_unknown_remaining_view_is_refused(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    request = pb.UnassignDevicesRequest(customer_email="ada@example.com", device_identifiers=["A"])
    request.MergeFromString(b"\x40\x63")  # remaining_view: 99, as a later version may know it
    refused = failure(lambda: client.assignments.UnassignDevices(request, metadata=tenant.metadata))
    assert [field for field, _ in refused.violations] == ["remaining_view"]
    assert client.devices(tenant, "ada@example.com") == ["A"]
