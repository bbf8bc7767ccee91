"""API keys: one text for every bad one, scopes by a table, and revocation within seconds."""

import time
from datetime import UTC, datetime, timedelta
from functools import partial

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from service import method_table as rpcs
from service.domain.keys import SCOPES as ALL_SCOPES
from service.storage.database import Database
from service.storage.keys import Keys
from tests.conftest import Client, Tenant, failure
from tests.grpc_server.conftest import LIST, UNASSIGN, Log, Run, eventually, raw

Metadata = tuple[tuple[str, str], ...] | None


def attempt(client: Client, metadata: Metadata) -> pb.ListAssignedDevicesResponse:
    request = pb.ListAssignedDevicesRequest(customer_email="ada@example.com")
    return client.assignments.ListAssignedDevices(request, metadata=metadata)


def works(client: Client, metadata: Metadata) -> bool:
    """Tells whether a key is taken; any other failure than its refusal is one of the test."""
    request = pb.ListAssignedDevicesRequest(customer_email="ada@example.com")
    code = client.assignments.ListAssignedDevices.future(request, metadata=metadata).code()
    assert code in {grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED}
    return code is grpc.StatusCode.OK


def test_every_bad_key_gets_one_and_the_same_text(client: Client, tenant: Tenant, database: Database) -> None:
    tenant.assign("ada@example.com", ["A"])
    keys = Keys(database)
    revoked, revoked_secret = keys.create(tenant.id, ALL_SCOPES, None)
    assert keys.revoke(revoked.id)
    _, expired_secret = keys.create(tenant.id, ALL_SCOPES, datetime.now(UTC) - timedelta(seconds=1))
    bad: list[Metadata] = [None, (("authorization", tenant.api_key),), (("x-api-key-bin", tenant.api_key.encode()),)]  # type: ignore[list-item]  # -bin: bytes
    secrets = [
        "",
        "x",
        revoked_secret,
        expired_secret,
        tenant.api_key[:-1],
        tenant.api_key + "x",
        tenant.api_key.upper(),
        tenant.api_key.rpartition("_")[0],
        "x" * 5_000,
        "'; DROP TABLE api_key; --",
    ]
    bad += [(("x-api-key", secret),) for secret in secrets]
    told = [failure(partial(attempt, client, metadata)) for metadata in bad]
    assert {(t.code, t.reason, t.text, tuple(t.metadata)) for t in told} == {
        (
            grpc.StatusCode.UNAUTHENTICATED,
            "ERROR_REASON_API_KEY_INVALID",
            "A valid API key is required in the metadata x-api-key",
            ("call_id",),
        )
    }
    assert works(client, tenant.metadata)


def test_a_missing_scope_is_named(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    for method, scope in ((UNASSIGN, "assignments:write"), (LIST, "assignments:read")):
        others = tenant.key(*(other for other in ALL_SCOPES if other != scope))
        refused = failure(partial(raw(client).unary_unary(method), b"", metadata=others))
        assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ERROR_REASON_SCOPE_MISSING")
        assert refused.metadata["scope"] == scope
        assert scope in refused.text
        enough = failure(partial(raw(client).unary_unary(method), b"", metadata=tenant.key(scope)))
        assert enough.reason == "ERROR_REASON_INVALID_FIELDS"


def test_every_rpc_that_the_server_tells_of_needs_a_key_and_a_scope(client: Client, tenant: Tenant) -> None:
    told = ProtoReflectionDescriptorDatabase(client.channel)
    pool = DescriptorPool(told)
    walked = set()
    for service in set(told.get_services()) - rpcs.OPEN_SERVICES:
        for method in pool.FindServiceByName(service).methods:
            name = f"{service}/{method.name}"
            walked.add(name)
            needed = rpcs.RPCS[name].scopes
            call = raw(client).unary_unary(f"/{name}")
            nobody = failure(partial(call, b""))
            assert nobody.code is grpc.StatusCode.UNAUTHENTICATED
            others = tenant.key(*(other for other in ALL_SCOPES if other not in needed))
            assert failure(partial(call, b"", metadata=others)).code is grpc.StatusCode.PERMISSION_DENIED
    assert walked == set(rpcs.RPCS)
    assert {scope for rpc in rpcs.RPCS.values() for scope in rpc.scopes} <= set(ALL_SCOPES)


def test_a_revocation_is_effective_within_five_seconds_and_touches_no_other_key(
    client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A"])
    keys = Keys(database)
    key, secret = keys.create(tenant.id, ALL_SCOPES, None)
    metadata = (("x-api-key", secret),)
    assert works(client, metadata)
    assert works(client, tenant.metadata)  # several keys are good at once
    keys.revoke(key.id)
    revoked_at = time.monotonic()
    began = revoked_at
    while works(client, metadata):
        # When the call began, because a busy machine may take long over it.
        assert began - revoked_at < 5
        time.sleep(0.05)
        began = time.monotonic()
    assert works(client, tenant.metadata)


def test_a_key_stops_working_when_it_expires(client: Client, tenant: Tenant, database: Database) -> None:
    tenant.assign("ada@example.com", ["A"])
    _, secret = Keys(database).create(tenant.id, ALL_SCOPES, datetime.now(UTC) + timedelta(seconds=4))
    metadata = (("x-api-key", secret),)
    assert works(client, metadata)
    eventually(lambda: not works(client, metadata))


def test_the_last_use_of_a_key_is_noted(run: Run, tenant: Tenant, database: Database) -> None:
    tenant.assign("ada@example.com", ["A"])
    keys = Keys(database)
    unused, _ = keys.create(tenant.id, ALL_SCOPES, None)
    running = run()
    before = datetime.now(UTC)
    running.client.page(tenant, "ada@example.com")
    after = datetime.now(UTC)
    running.stop()
    noted = {key.id: key.last_used_at for key in keys.all()}
    used_at = noted[tenant.key_id]
    assert used_at is not None
    assert before <= used_at <= after
    assert noted[unused.id] is None


def test_the_log_has_one_line_a_call_and_nothing_secret(logged: Log, run: Run, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    running = run()
    client = running.client
    unknown = "da_AbCd1234_" + "y" * 40
    client.unassign(tenant, "ada@example.com", ["A", "geheim-1"], note="geheim")
    client.page(tenant, "ada@example.com")
    failure(lambda: client.unassign(tenant, "nobody@example.com", ["A"], note="geheim"))
    stranger = failure(lambda: attempt(client, (("x-api-key", unknown),)))
    running.stop()
    lines = logged.events("call")
    assert [(line["status"], line.get("reason")) for line in lines] == [
        ("OK", None),
        ("OK", None),
        ("NOT_FOUND", "ERROR_REASON_CUSTOMER_NOT_FOUND"),
        ("UNAUTHENTICATED", "ERROR_REASON_API_KEY_INVALID"),
    ]
    first = lines[0]
    assert first["method"] == UNASSIGN[1:]
    assert (first["organization_id"], first["key_id"]) == (tenant.id, tenant.key_id)
    assert (first["requested"], first["unassigned"], first["skipped"], first["replayed"]) == (2, 1, 1, False)
    assert first["duration_ms"] > 0
    assert lines[1]["listed"] == 1
    assert lines[3]["call_id"] == stranger.metadata["call_id"]
    assert "organization_id" not in lines[3]
    assert len({line["call_id"] for line in lines}) == 4
    for private in ("example.com", "geheim", tenant.api_key, tenant.api_key.rpartition("_")[2], unknown):
        assert private not in logged.text
