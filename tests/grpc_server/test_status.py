"""The status table: what each failure looks like on the wire, and that the server serves on."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.errors_pb2 import ErrorReason
from google.rpc import code_pb2
from sqlalchemy import text

from service.domain import errors
from service.domain.errors import ServiceError
from service.grpc_server import status
from service.storage.database import Database
from service.storage.sqlite import backend as sqlite
from tests.conftest import Client, Failure, Serve, Tenant, failure
from tests.grpc_server.conftest import LIST, UNASSIGN, Run, code_of, eventually, held, raw

MAX_TRAILER_BYTES = 4096


def on_the_wire(failed: Failure) -> int:
    """Gives the most that the details can take: binary trailers travel in base 64."""
    return failed.trailer_bytes * 4 // 3 + 4 + len(failed.text.encode())


def send(client: Client, method: str, body: bytes, tenant: Tenant | None) -> object:
    return raw(client).unary_unary(method)(body, metadata=tenant.metadata if tenant else None)


def all_errors() -> list[type[ServiceError]]:
    found: list[type[ServiceError]] = []
    to_look_at = [ServiceError]
    while to_look_at:
        below = to_look_at.pop().__subclasses__()
        to_look_at += below
        found += [kind for kind in below if kind is not errors.Violated]
    return found


def test_every_error_has_a_documented_reason_and_a_status_and_every_reason_an_error() -> None:
    reasons = [kind.reason for kind in all_errors()]
    assert sorted(reasons) == sorted(set(ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"})
    assert set(status._CODES) == set(all_errors())
    assert all(name in (errors.__doc__ or "") for name in (kind.__name__ for kind in all_errors()))


def test_the_status_table_stands(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    request_id = "123e4567-e89b-12d3-a456-426614174000"
    client.unassign(tenant, "ada@example.com", ["X"], request_id=request_id)
    call = partial(client.unassign, tenant, "ada@example.com")
    stranger = Tenant(tenant.database, tenant.id, tenant.key_id, "unknown")
    reader = Tenant(tenant.database, tenant.id, tenant.key_id, tenant.key("assignments:read")[0][1])
    table: list[tuple[partial[Any], str, str]] = [
        (partial(call, []), "INVALID_ARGUMENT", "INVALID_FIELDS"),
        (partial(send, client, UNASSIGN, b"\xff", tenant), "INVALID_ARGUMENT", "MALFORMED_REQUEST"),
        (partial(call, ["A"], request_id=request_id), "INVALID_ARGUMENT", "REQUEST_ID_REUSED"),
        (partial(call, ["X"], require_all=True), "FAILED_PRECONDITION", "DEVICES_SKIPPED"),
        (partial(client.unassign, stranger, "ada@example.com", ["A"]), "UNAUTHENTICATED", "API_KEY_INVALID"),
        (partial(client.unassign, reader, "ada@example.com", ["A"]), "PERMISSION_DENIED", "SCOPE_MISSING"),
        (partial(client.unassign, tenant, "bob@example.com", ["A"]), "NOT_FOUND", "CUSTOMER_NOT_FOUND"),
        (partial(client.page, tenant, "bob@example.com"), "NOT_FOUND", "CUSTOMER_NOT_FOUND"),
        (partial(call, ["A"], expected_revision="rev_x"), "ABORTED", "REVISION_MOVED"),
        (partial(send, client, "/no.Such/Method", b"", tenant), "UNIMPLEMENTED", "UNKNOWN_METHOD"),
    ]
    call_ids = set()
    for wrong, code, reason in table:
        failed = failure(wrong)
        assert (failed.code.name, failed.reason) == (code, f"ERROR_REASON_{reason}")
        assert failed.text
        assert on_the_wire(failed) < MAX_TRAILER_BYTES
        call_ids.add(failed.metadata["call_id"])
    assert len(call_ids) == len(table)
    assert client.devices(tenant, "ada@example.com") == ["A"]


def test_names_of_statuses_are_those_of_grpc() -> None:
    assert {code.name for code in grpc.StatusCode} == set(code_pb2.Code.keys())


def test_each_missing_field_is_named(client: Client, tenant: Tenant) -> None:
    refused = failure(lambda: client.unassign(tenant, "", []))
    assert sorted(refused.violations) == [
        ("customer_email", "is required"),
        ("device_identifiers", "must name at least one device"),
    ]
    assert "customer_email" in refused.text


def test_details_stay_small_at_100_000_bad_identifiers(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    good, bad = ["A"] * 50_000, [" \U0001f600"] * 50_000
    for identifiers, first, total in ((bad * 2, 0, 100_000), (good + bad, 50_000, 50_000)):
        refused = failure(partial(client.unassign, tenant, "ada@example.com", identifiers))
        assert [field for field, _ in refused.violations] == [f"device_identifiers[{first + n}]" for n in range(20)]
        assert refused.metadata["violations_omitted"] == str(total - 20)
        assert on_the_wire(refused) < MAX_TRAILER_BYTES
    wanted = [*good, *(f"X{n}" for n in range(50_000))]
    skipped = failure(lambda: client.unassign(tenant, "ada@example.com", wanted, require_all=True))
    assert [subject for subject, _ in skipped.preconditions] == [f"device_identifiers[{50_000 + n}]" for n in range(20)]
    assert skipped.metadata["violations_omitted"] == str(50_000 - 20)
    assert on_the_wire(skipped) < MAX_TRAILER_BYTES
    assert client.devices(tenant, "ada@example.com") == ["A"]


def test_an_error_s_text_repeats_nothing_of_the_request(client: Client, tenant: Tenant) -> None:
    secret = "geheim"
    for wrong in (
        partial(client.unassign, tenant, secret, [f" {secret}"], request_id=secret, note=secret * 100),
        partial(client.unassign, tenant, f"{secret}@example.com", [secret], expected_revision=secret),
        partial(client.page, tenant, customer_id=secret),
        partial(client.page, tenant, page_token=secret),
    ):
        failed = failure(wrong)
        assert secret not in f"{failed.text} {failed.violations} {failed.metadata}"


def test_garbage_is_malformed_and_the_server_serves_on(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    for body in (b"\xff", b"\x00", b"\x0a\x05ada", b"\x0a\x01\xff", b"\x12\xff\xff\xff\xff\x0f", b"\xff" * 60_000):
        for method in (UNASSIGN, LIST):
            failed = failure(partial(send, client, method, body, tenant))
            assert (failed.code, failed.reason) == (
                grpc.StatusCode.INVALID_ARGUMENT,
                "ERROR_REASON_MALFORMED_REQUEST",
            ), body
        # Before the key is known to be good, nobody looks at the bytes.
        assert failure(partial(send, client, UNASSIGN, body, None)).reason == "ERROR_REASON_API_KEY_INVALID"
    nothing: list[bytes] = []
    empty = failure(lambda: raw(client).stream_unary(UNASSIGN)(iter(nothing), metadata=tenant.metadata))
    assert empty.reason == "ERROR_REASON_MALFORMED_REQUEST"
    assert client.devices(tenant, "ada@example.com") == ["A"]


def test_an_unknown_method_is_unimplemented_with_our_details_whatever_its_kind(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    service = "/deviceassignment.v1.DeviceAssignmentService"
    names = (f"{service}/Nope", f"{service}/unassignDevices", f"{service}/", "/nope", "/a.B/C", f"{service}/Ü%00")
    for method in (*names, "/grpc.health.v1.Health/Nope", "/grpc.reflection.v1.ServerReflection/Nope"):
        for caller in (tenant, None):
            failed = failure(partial(send, client, method, b"\xff", caller))
            assert (failed.code, failed.reason) == (grpc.StatusCode.UNIMPLEMENTED, "ERROR_REASON_UNKNOWN_METHOD")
    streamed = failure(lambda: list(raw(client).stream_stream("/a.B/C")(iter([b"x"] * 10))))
    assert streamed.reason == "ERROR_REASON_UNKNOWN_METHOD"
    assert client.devices(tenant, "ada@example.com") == ["A"]


def test_the_rate_limit_holds_each_key_on_its_own_and_says_when_to_come_back(serve: Serve, tenant: Tenant) -> None:
    client = serve(rate_limit=1)
    tenant.assign("ada@example.com", ["A"])
    limited = first_refusal(client, tenant)
    assert (limited.code, limited.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_RATE_LIMITED")
    assert limited.retry_seconds is not None
    assert 0 < limited.retry_seconds <= 1
    request = pb.ListAssignedDevicesRequest(customer_email="ada@example.com")
    client.assignments.ListAssignedDevices(request, metadata=tenant.key("assignments:read"))
    eventually(lambda: can(client, tenant))


def first_refusal(client: Client, tenant: Tenant) -> Failure:
    """Calls until the limit is reached, which takes two calls, or more on a machine that takes a second for one."""
    while True:
        try:
            return failure(lambda: client.page(tenant, "ada@example.com"))
        except pytest.fail.Exception:
            continue


def can(client: Client, tenant: Tenant) -> bool:
    try:
        client.page(tenant, "ada@example.com")
    except grpc.RpcError:
        return False
    return True


def test_overload_refuses_at_once_and_says_when_to_come_back(run: Run, tenant: Tenant, database: Database) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    running = run(threads=1, waiting_calls=0)
    with held(database, "ada@example.com"):
        blocked = running.unassigning(tenant, "ada@example.com", ["A"])
        eventually(lambda: running.calls == 1)
        refused = failure(lambda: running.client.unassign(tenant, "ada@example.com", ["B"]))
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_OVERLOADED")
        assert refused.retry_seconds == 1
    assert list(blocked.result().unassigned_devices) == ["A"]
    eventually(lambda: running.calls == 0)
    assert running.client.devices(tenant, "ada@example.com") == ["B"]


@contextmanager
def conflicting(database: Database) -> Iterator[None]:
    """Has every attempt to end an assignment of Ada fail as if another transaction were always in its way."""
    if database.engine.dialect.name == "sqlite":
        with held(database, "ada@example.com"):
            yield
        return
    body = "'BEGIN RAISE EXCEPTION USING ERRCODE = ''40001''; END'"
    with database.session() as connection:
        connection.execute(text(f"CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS {body}"))
        when = "BEFORE DELETE ON assignment FOR EACH ROW"
        connection.execute(text(f"CREATE TRIGGER conflict {when} EXECUTE FUNCTION conflict()"))
    yield
    with database.session() as connection:
        connection.execute(text("DROP TRIGGER conflict ON assignment"))


def test_a_conflict_is_aborted_and_says_when_to_come_back(
    serve: Serve, tenant: Tenant, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_WAIT_SECONDS", 0.2)
    client = serve()
    tenant.assign("ada@example.com", ["A"])
    with conflicting(database):
        lost = failure(lambda: client.unassign(tenant, "ada@example.com", ["A"]))
    assert (lost.code, lost.reason) == (grpc.StatusCode.ABORTED, "ERROR_REASON_CONFLICT")
    assert lost.retry_seconds == 0.1
    assert list(client.unassign(tenant, "ada@example.com", ["A"]).unassigned_devices) == ["A"]
    assert code_of(lambda: client.unassign(tenant, "bob@example.com", ["A"])) is grpc.StatusCode.NOT_FOUND
