"""The log's line of a call: what it was, what it made, and of a refused key which one it was."""

import io
import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from grpc_health.v1 import health_pb2

from service.domain.cancellation import Cancellation
from service.domain.keys import SCOPES, Principal, RefusedKey
from service.runtime import log
from service.storage.database import Database
from service.storage.keys import Keys
from tests.conftest import Client, Failure, Tenant, failure
from tests.grpc_server.conftest import Log, Run, health_of

REQUEST_ID = "0c5fb6f5-5b1a-4c7d-9d2e-0d8f6f2f3a11"


def attempt(client: Client, secret: str) -> Failure:
    request = pb.ListAssignedDevicesRequest(customer_email="ada@example.com")
    return failure(partial(client.assignments.ListAssignedDevices, request, metadata=(("x-api-key", secret),)))


def expired(database: Database, tenant: Tenant) -> tuple[str, str]:
    key, secret = Keys(database).create(tenant.id, SCOPES, datetime.now(UTC) - timedelta(seconds=1))
    return key.id, secret


def test_a_write_is_logged_with_its_operation_and_whether_it_was_a_preview(
    logged: Log, run: Run, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    running = run()
    client = running.client
    client.unassign(tenant, "ada@example.com", ["A"], validate_only=True)
    failure(lambda: client.unassign(tenant, "nobody@example.com", ["A"], validate_only=True))
    done = client.unassign(tenant, "ada@example.com", ["A"], request_id=REQUEST_ID)
    client.unassign(tenant, "ada@example.com", ["A"], request_id=REQUEST_ID)
    client.unassign(tenant, "ada@example.com", ["A"])
    client.page(tenant, "ada@example.com")
    running.stop()
    lines = logged.events("call")
    assert [(line.get("validate_only"), line.get("operation_id"), line.get("replayed")) for line in lines] == [
        (True, None, False),
        (True, None, None),
        (False, done.operation_id, False),
        (False, done.operation_id, True),
        (False, None, False),
        (None, None, None),
    ]


@pytest.mark.parametrize("json_lines", [True, False])
def test_the_time_stands_first_then_level_and_event_and_no_field_is_empty(
    json_lines: bool,  # noqa: FBT001  # a case
) -> None:
    stream = io.StringIO()
    log.configure(stream, json=json_lines)
    try:
        log.access("call", method="x", reason=None, x_request_id="", count=0, replayed=False)
        log.flush()
    finally:
        log.disable()
    line = stream.getvalue()
    if json_lines:
        assert list(json.loads(line)) == ["timestamp", "level", "event", "method", "count", "replayed"]
    else:
        assert line.partition(" ")[2] == "[info] call method=x count=0 replayed=False\n"


def test_of_a_refused_key_that_is_known_the_log_has_its_id_and_what_it_is(
    logged: Log, run: Run, tenant: Tenant, database: Database
) -> None:
    keys = Keys(database)
    revoked, revoked_secret = keys.create(tenant.id, SCOPES, None)
    keys.revoke(revoked.id)
    both, both_secret = keys.create(tenant.id, SCOPES, datetime.now(UTC) - timedelta(seconds=1))
    keys.revoke(both.id)
    expired_id, expired_secret = expired(database, tenant)
    running = run()
    secrets = [revoked_secret, expired_secret, both_secret, "da_AbCd1234_" + "y" * 40, "nonsense"]
    answers = [attempt(running.client, secret) for secret in secrets]
    running.stop()
    assert len({(answer.code, answer.text, answer.reason, tuple(answer.metadata)) for answer in answers}) == 1
    assert [(line.get("key_id"), line.get("key_state")) for line in logged.events("call")] == [
        (revoked.id, "revoked"),
        (expired_id, "expired"),
        (both.id, "revoked"),
        (None, None),
        (None, None),
    ]
    assert "organization_id" not in logged.text
    assert not [secret for secret in secrets if secret in logged.text]


def test_a_key_that_is_revoked_while_it_is_used_is_logged_as_that(
    logged: Log, run: Run, tenant: Tenant, database: Database
) -> None:
    keys = Keys(database)
    tenant.assign("ada@example.com", ["A"])
    key, secret = keys.create(tenant.id, SCOPES, None)
    running = run(key_cache_seconds=0)
    request = pb.ListAssignedDevicesRequest(customer_email="ada@example.com")
    running.client.assignments.ListAssignedDevices(request, metadata=(("x-api-key", secret),))
    keys.revoke(key.id)
    attempt(running.client, secret)
    running.stop()
    assert [(line["status"], line["key_id"], line.get("key_state")) for line in logged.events("call")] == [
        ("OK", key.id, None),
        ("UNAUTHENTICATED", key.id, "revoked"),
    ]


def test_a_flood_of_invented_keys_leaves_no_line_of_a_known_one_out(
    logged: Log, run: Run, tenant: Tenant, database: Database
) -> None:
    key_id, secret = expired(database, tenant)
    running = run()
    for number in range(40):
        attempt(running.client, f"da_AbCd1234_{number:040}")
    attempt(running.client, secret)
    running.stop()
    lines = logged.events("call")
    assert [line["key_id"] for line in lines if "key_id" in line] == [key_id]
    # Ten in each second that the flood took, and not one for each call.
    assert len(lines) + sum(line.get("left_out", 0) for line in lines) <= 41
    assert sum("key_id" not in line for line in lines) < 40


def test_a_known_key_that_is_refused_is_looked_up_each_time_as_an_unknown_one_is(
    run: Run, tenant: Tenant, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = expired(database, tenant)
    asked: list[str] = []
    find = Keys.find

    def counted(keys: Keys, sha256: str, cancellation: Cancellation) -> Principal | RefusedKey | None:
        asked.append(sha256)
        return find(keys, sha256, cancellation)

    monkeypatch.setattr(Keys, "find", counted)
    running = run()
    for refused in (secret, "da_AbCd1234_" + "y" * 40):
        asked.clear()
        for _ in range(3):
            attempt(running.client, refused)
        assert len(asked) == 3


def test_health_checks_are_not_logged(logged: Log, run: Run) -> None:
    running = run()
    health_of(running.client).Check(health_pb2.HealthCheckRequest())
    running.stop()
    assert "grpc.health" not in logged.text
    assert logged.events("call") == []
