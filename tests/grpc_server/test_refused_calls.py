"""Refused calls, however many, leave their connection as it was, and the log short."""

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from service.domain.keys import SCOPES
from service.grpc_client.metadata import KEY_CHECK
from service.grpc_server import call, server
from service.runtime.log_limits import LogLimits
from service.storage.keys import Keys
from tests.conftest import Client, Serve, Tenant
from tests.grpc_server.conftest import Log

STREAMS = 32
"""How many a connection may have at once: fewer than usual, so that fewer calls show that none is left over."""

CALLS = 300

SERVICE = "deviceassignment.v1.DeviceAssignmentService"
LOOKUP = f"{SERVICE}/LookupOwners"
WATCH = f"{SERVICE}/WatchOperations"
REFLECTION = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
OLDER_REFLECTION = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Stops the garbage collector, which seldom comes in a server at work."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def unknown(number: int) -> str:
    """Makes up a key."""
    return f"da_{number:08d}_{'1' * 40}"


Key = Callable[[int], str]

KINDS: dict[str, tuple[str, bytes, Key | None, str]] = {
    "unknown key": (LOOKUP, b"", unknown, "UNAUTHENTICATED"),
    "unknown key, checked for the gateway": (KEY_CHECK, b"", unknown, "UNAUTHENTICATED"),
    "unknown key of a stream": (WATCH, b"", unknown, "UNAUTHENTICATED"),
    "no key": (LOOKUP, b"", lambda _: "", "UNAUTHENTICATED"),
    "key without the scope": (f"{SERVICE}/UnassignDevices", b"", None, "PERMISSION_DENIED"),
    "no fields": (LOOKUP, b"", None, "INVALID_ARGUMENT"),
    "no message of the method": (LOOKUP, b"\xff\xff", None, "INVALID_ARGUMENT"),
    "too long": (f"{SERVICE}/GetOperation", b"\x0a\x80\x80\x04" + b"x" * 65_536, None, "INVALID_ARGUMENT"),
    "wrong fields of a stream": (WATCH, b"\x0a\x01x", None, "INVALID_ARGUMENT"),
    "unknown method": ("a.b/C", b"", unknown, "UNIMPLEMENTED"),
    "health of an unknown service": ("grpc.health.v1.Health/Check", b"\x0a\x01x", unknown, "NOT_FOUND"),
    "no message of health": ("grpc.health.v1.Health/Check", b"\xff\xff", unknown, "INVALID_ARGUMENT"),
    "no message of reflection": (REFLECTION, b"\xff\xff", unknown, "INVALID_ARGUMENT"),
    "no message of older reflection": (OLDER_REFLECTION, b"\xff\xff", unknown, "INVALID_ARGUMENT"),
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_more_refused_calls_than_streams_leave_the_connection_as_it_was(
    kind: str, serve: Serve, tenant: Tenant, uncollected: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, message, key, status = KINDS[kind]
    known = Keys(tenant.database).create(tenant.id, set(SCOPES) - {"assignments:write"}, None)[1]
    monkeypatch.setattr(server, "_STREAMS_PER_CONNECTION", STREAMS)
    client: Client = serve()
    rpc: Any = client.channel.stream_stream(f"/{method}")
    found: dict[str, int] = {}
    for number in range(2 * STREAMS):
        try:
            answers = rpc(iter([message]), metadata=(("x-api-key", key(number) if key else known),), timeout=60)
            list(answers)
            ended = "OK"
        except grpc.RpcError as error:
            ended = error.code().name
        found[ended] = found.get(ended, 0) + 1
    assert found == {status: 2 * STREAMS}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", ["unknown key", "no key", "unknown method", "no message of reflection"])
def test_the_log_of_a_flood_of_refused_calls_is_short_and_counts_what_it_leaves_out(
    kind: str, serve: Serve, logged: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, message, key, status = KINDS[kind]
    client: Client = serve()
    rpc: Any = client.channel.stream_stream(f"/{method}")
    monkeypatch.setattr(call, "_without_key", LogLimits(10))  # it counts for the whole process
    started, reflects = time.monotonic(), kind == "no message of reflection"

    def refused(number: int) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            list(rpc(iter([message]), metadata=(("x-api-key", key(number) if key else ""),), timeout=60))
        assert caught.value.code().name == status

    for number in range(CALLS):
        refused(number)
    seconds = time.monotonic() - started
    time.sleep(1.1)
    refused(CALLS)
    lines = logged.events("call")
    assert len(lines) <= 10 * (seconds + 2) + 1
    assert sum(1 + line.get("left_out", 0) for line in lines) == (0 if reflects else CALLS + 1)
    assert "Traceback" not in logged.text
