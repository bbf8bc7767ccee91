"""What every write takes beside its subject: request_id, validate_only, note and expected_revision."""

import uuid
from typing import Any

import pytest

from service.storage.database import Database
from tests.conftest import Tenant, failure
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import ADA, METHODS, Api, at_once, new_uuid
from tests.grpc_server.api.writes import WRITES, World, Write

every_write = pytest.mark.parametrize("write", WRITES, ids=str)
recorded = pytest.mark.parametrize("write", [write for write in WRITES if write.records], ids=str)
guarded = pytest.mark.parametrize("write", [write for write in WRITES if write.guard], ids=str)


def test_every_write_of_the_api_is_among_these() -> None:
    writes = {name for name, method in METHODS.items() if "validate_only" in method.input_type.fields_by_name}
    assert writes == {write.method for write in WRITES}
    assert {name for name in writes if METHODS[name].input_type.fields_by_name.get("request_id") is None} == set()


@every_write
def test_a_repeat_gets_the_first_answer_in_every_field_and_does_nothing_again(
    api: Api, tenant: Tenant, database: Database, write: Write
) -> None:
    world = World(api, tenant)
    request_id = new_uuid()
    first = api(tenant, write.method, **world.fields(write), request_id=request_id)
    # Whatever happens in between is not to be seen in the repeat.
    api.assign(tenant, "later@example.com", ["A", "later"])
    before = ledger.picture(database, tenant)
    again = api(tenant, write.method, **world.fields(write), request_id=request_id.upper())
    assert again == first
    assert ledger.picture(database, tenant) == before


@pytest.mark.parametrize(
    ("write", "field"),
    [(write, field) for write in WRITES for field in [*write.others, *(["note"] if write.records else [])]],
    ids=str,
)
def test_the_same_request_id_with_another_value_in_any_field_is_refused(
    api: Api, tenant: Tenant, database: Database, write: Write, field: str
) -> None:
    world = World(api, tenant)
    request_id = new_uuid()
    api(tenant, write.method, **world.fields(write), request_id=request_id)
    before = ledger.picture(database, tenant)
    fields = world.fields(write, **{field: write.others.get(field, "another note")})
    failed = failure(lambda: api(tenant, write.method, **fields, request_id=request_id))
    assert (failed.code.name, failed.reason) == ("INVALID_ARGUMENT", "ERROR_REASON_REQUEST_ID_REUSED")
    assert ledger.picture(database, tenant) == before


@every_write
def test_the_request_id_of_another_method_is_refused(
    api: Api, tenant: Tenant, database: Database, write: Write
) -> None:
    world = World(api, tenant)
    request_id = new_uuid()
    if write.method == "UnassignAllDevices":
        api.unassign(tenant, ADA, ["Q"], request_id=request_id)
    else:
        api(tenant, "UnassignAllDevices", customer_email="cat@example.com", expected_count=0, request_id=request_id)
    before = ledger.picture(database, tenant)
    failed = failure(lambda: api(tenant, write.method, **world.fields(write), request_id=request_id))
    assert failed.reason == "ERROR_REASON_REQUEST_ID_REUSED"
    assert ledger.picture(database, tenant) == before


@every_write
def test_two_identical_calls_at_once_get_one_answer(api: Api, tenant: Tenant, database: Database, write: Write) -> None:
    world = World(api, tenant)
    fields = {**world.fields(write), "request_id": new_uuid()}
    answers = at_once(*[lambda: api(tenant, write.method, **fields)] * 6)
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].success
    ledger.check(database, tenant)


@every_write
def test_two_spellings_of_the_same_request_are_the_same_content(api: Api, tenant: Tenant, write: Write) -> None:
    world = World(api, tenant)
    fields = world.fields(write)
    respelt: dict[str, Any] = dict(fields)
    for name, value in fields.items():
        if "email" in name and isinstance(value, str):
            respelt[name] = value.upper()
        if name == "customer_emails":
            respelt[name] = [*map(str.upper, value), value[0]]
        if name == "device_identifiers":
            respelt[name] = [*value, value[0]]
    request_id = new_uuid()
    first = api(tenant, write.method, **fields, request_id=request_id)
    assert api(tenant, write.method, **respelt, request_id=request_id) == first


def forget(message: Any, paths: tuple[str, ...]) -> Any:
    """Clears what a preview cannot know."""
    for path in paths:
        head, _, tail = path.partition(".")
        if not tail:
            message.ClearField(head)
            continue
        for member in getattr(message, head):
            if member.was_created:
                member.ClearField(tail)
    return message


@every_write
def test_a_preview_answers_what_the_call_would_and_changes_nothing(
    api: Api, tenant: Tenant, database: Database, write: Write
) -> None:
    world = World(api, tenant)
    before = ledger.picture(database, tenant)
    request_id = new_uuid()
    preview = api(tenant, write.method, **world.fields(write), validate_only=True, request_id=request_id)
    assert ledger.picture(database, tenant) == before
    # The request id is not looked at: it is free for the call itself, or for another.
    done = api(tenant, write.method, **world.fields(write), request_id=request_id)
    assert ledger.picture(database, tenant) != before
    if write.records:
        assert preview.operation_id == ""
        assert done.operation_id.startswith("op_")
    assert forget(preview, write.created) == forget(done, write.created)


@every_write
def test_a_preview_of_what_is_to_be_created_has_no_ids(api: Api, tenant: Tenant, write: Write) -> None:
    world = World(api, tenant)
    preview = api(tenant, write.method, **world.fields(write), validate_only=True)
    for path in write.created:
        head, _, tail = path.partition(".")
        if tail:
            assert {getattr(member, tail) for member in getattr(preview, head) if member.was_created} == {""}
        elif "revision" not in head:
            assert getattr(preview, head) == ""


@guarded
def test_a_preview_tells_the_revision_of_now(api: Api, tenant: Tenant, write: Write) -> None:
    world = World(api, tenant)
    preview = api(tenant, write.method, **world.fields(write), validate_only=True)
    field = "from_revision" if write.method == "TransferDevices" else "revision"
    assert getattr(preview, field) == world.revision


@recorded
def test_a_note_is_kept_with_the_operation(api: Api, tenant: Tenant, write: Write) -> None:
    world = World(api, tenant)
    note = "n" * 499 + "é"
    done = api(tenant, write.method, **world.fields(write), note=note)
    kept = api.operation(tenant, done.operation_id)
    assert (kept.note, kept.key_id) == (note, tenant.key_id)
    failed = failure(lambda: api(tenant, write.method, **world.fields(write), note=note + "x"))
    assert failed.violations == [("note", "must have at most 500 characters, but has 501")]
    failed = failure(lambda: api(tenant, write.method, **world.fields(write), note="a\0b"))
    assert failed.violations == [("note", "must not contain the character U+0000")]


@guarded
def test_the_expected_revision_guards_against_a_change_in_between(
    api: Api, tenant: Tenant, database: Database, write: Write
) -> None:
    world = World(api, tenant)
    before = ledger.picture(database, tenant)
    for validate_only in (False, True):
        guard = {write.guard: world.old_revision, "validate_only": validate_only}
        failed = failure(lambda: api(tenant, write.method, **world.fields(write), **guard))  # noqa: B023  # called here
        assert (failed.code.name, failed.reason) == ("ABORTED", "ERROR_REASON_REVISION_MOVED")
    assert ledger.picture(database, tenant) == before
    assert api(tenant, write.method, **world.fields(write), **{write.guard: world.revision}).operation_id


def test_a_customer_who_is_not_there_yet_has_no_revision_to_expect(
    api: Api, tenant: Tenant, database: Database
) -> None:
    revision = api.assign(tenant, ADA, ["A"]).revision
    before = ledger.picture(database, tenant)
    for validate_only in (False, True):
        options = {"expected_revision": revision, "validate_only": validate_only}
        failed = failure(lambda: api.assign(tenant, "new@example.com", ["N"], **options))  # noqa: B023  # called here
        assert failed.reason == "ERROR_REASON_REVISION_MOVED"
    assert ledger.picture(database, tenant) == before


@every_write
def test_a_request_id_must_be_a_uuid(api: Api, tenant: Tenant, write: Write) -> None:
    world = World(api, tenant)
    failed = failure(lambda: api(tenant, write.method, **world.fields(write), request_id=uuid.uuid4().hex))
    assert [field for field, _ in failed.violations] == ["request_id"]


def test_a_call_that_changed_nothing_claims_its_request_id_too(api: Api, tenant: Tenant) -> None:
    request_id = new_uuid()
    first = api.assign(tenant, ADA, ["X"], auto_create_devices=False, request_id=request_id)
    assert (list(first.skipped), first.operation_id) == (["X"], "")
    api.assign(tenant, ADA, ["X"])
    assert api.assign(tenant, ADA, ["X"], auto_create_devices=False, request_id=request_id) == first
