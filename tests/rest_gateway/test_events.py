"""The stream of operations as server-sent events."""

import signal
import socket
import time
from itertools import count

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.keys import Keys
from tests.conftest import Tenant
from tests.grpc_server.conftest import eventually
from tests.rest_gateway.conftest import Begin, Launch, Scripted, Watch
from tests.rest_gateway.rest import KEY, PREFIX, Event, EventStream, Gateway, Rest

ADA, BOB = "ada@example.com", "bob@example.com"
WATCH = "/deviceAssignment/watchOperations"


def operations(stream: EventStream, wanted: int) -> list[str]:
    """Reads events, which must be operations with their own token as their id. Returns the operations' ids."""
    found: list[str] = []
    while len(found) < wanted:
        event = stream.next()
        if event is None:
            continue
        assert (event.kind, event.id) == ("operation", event.data["resumeToken"])
        found.append(event.data["operation"]["operationId"])
    return found


def last(stream: EventStream) -> Event:
    """Reads to the end, which must be an error."""
    while (event := stream.next()) is None:
        pass
    assert event.kind == "error"
    with pytest.raises(EOFError):
        stream.next()
    return event


def test_events_come_as_operations_are_committed_and_a_last_event_id_resumes(
    rest: Rest, tenant: Tenant, watch: Watch
) -> None:
    first = [tenant.assign(ADA, [f"A{number}"]) for number in range(3)]
    stream = watch(rest)
    assert stream.begin()
    assert operations(stream, 3) == first
    later = tenant.assign(BOB, ["B"])
    assert operations(stream, 1) == [later]
    place = stream.last_id
    stream.close()
    missed = [tenant.assign(ADA, [f"C{number}"]) for number in range(2)]
    resumed = watch(rest, last_event_id=place)
    assert resumed.begin() == place
    assert operations(resumed, 2) == missed
    resumed.close()


def test_the_query_selects_the_beginning_and_the_customer(rest: Rest, tenant: Tenant, watch: Watch) -> None:
    old = [tenant.assign(ADA, ["A"]), tenant.assign(BOB, ["B"])]
    stream = watch(rest, "?fromNow=true&customerEmail=bob@example.com")
    place = stream.begin()
    tenant.assign(ADA, ["C"])
    new = tenant.assign(BOB, ["D"])
    assert operations(stream, 1) == [new]
    stream.close()
    # A browser reconnects with the first query, and the last id in the header.
    for query, header in (("?fromNow=true&customerEmail=bob%40example.com", place), ("?after=x&from_now=false", place)):
        again = watch(rest, query, last_event_id=header)
        assert new in operations(again, 1 if "bob" in query else 2)
        again.close()
    behind = watch(rest, f"?after={place}")
    assert len(operations(behind, 2)) == 2
    behind.close()
    everything = watch(rest, "?from_now=false")
    assert operations(everything, 2) == old
    everything.close()


def test_an_error_before_the_beginning_is_an_answer_with_its_status(rest: Rest, gateway: Gateway) -> None:
    unauthenticated = Rest(gateway, "wrong").get(WATCH)
    assert (unauthenticated.status, unauthenticated.error["reason"]) == (401, "ERROR_REASON_API_KEY_INVALID")
    unknown = rest.get(f"{WATCH}?customerEmail=eve@example.com")
    assert (unknown.status, unknown.error["reason"]) == (404, "ERROR_REASON_CUSTOMER_NOT_FOUND")
    assert "after" in rest.get(WATCH, {"last-event-id": "nonsense"}).fields


def test_a_stream_without_events_sends_comments(launch: Launch, server: int, tenant: Tenant, watch: Watch) -> None:
    rest = Rest(launch(server, rest_keep_alive_seconds="0.2"), tenant.api_key)
    stream = watch(rest)
    stream.begin()
    for number in count():
        time.sleep(1)
        expected = tenant.assign(ADA, [f"A{number}"])
        assert operations(stream, 1) == [expected]
        if stream.comments >= 2:
            break
    stream.close()


def test_a_key_that_is_revoked_ends_its_stream_with_an_error_event(rest: Rest, tenant: Tenant, watch: Watch) -> None:
    stream = watch(rest)
    stream.begin()
    Keys(tenant.database).revoke(tenant.key_id)
    ended = last(stream)
    assert ended.data["reason"] == "ERROR_REASON_API_KEY_INVALID"
    assert ended.data["callId"]


def test_a_stopping_server_ends_streams_with_an_error_event_and_the_maximum_age_without(
    begin: Begin, launch: Launch, tenant: Tenant, watch: Watch
) -> None:
    service, port = begin(stream_seconds=1)
    rest = Rest(launch(port), tenant.api_key)
    old = watch(rest)
    old.begin()
    with pytest.raises(EOFError):
        old.next()
    stream = watch(rest)
    stream.begin()
    service.stop()
    assert last(stream).data["reason"] == "ERROR_REASON_STOPPING"


def test_a_stream_is_resumed_after_a_kill_and_a_stopping_gateway_sends_an_error_event(
    launch: Launch, server: int, tenant: Tenant, watch: Watch
) -> None:
    gateway = launch(server)
    stream = watch(Rest(gateway, tenant.api_key))
    stream.begin()
    first = tenant.assign(ADA, ["A"])
    assert operations(stream, 1) == [first]
    gateway.stop(signal.SIGKILL)
    with pytest.raises((EOFError, ConnectionError)):
        stream.next()
    missed = tenant.assign(ADA, ["B"])
    second = launch(server, port=gateway.port)
    resumed = watch(Rest(second, tenant.api_key), last_event_id=stream.last_id)
    assert operations(resumed, 1) == [missed]
    second.process.send_signal(signal.SIGTERM)
    assert last(resumed).data["reason"] == "ERROR_REASON_STOPPING"
    assert second.stop() == 0


def test_a_disconnect_ends_the_call(begin: Begin, launch: Launch, tenant: Tenant, watch: Watch) -> None:
    service, port = begin()
    rest = Rest(launch(port), tenant.api_key)
    streams = [watch(rest) for _ in range(3)]
    watchers = service._server._watchers
    eventually(lambda: len(watchers._open) == 3)
    for stream in streams:
        stream.close()
    eventually(lambda: not watchers._open)


def test_a_slow_reader_slows_down_the_call(scripted: Scripted) -> None:
    note = "x" * 100_000
    scripted.bytes = pb.WatchOperationsResponse(operation=pb.Operation(note=note)).SerializeToString()
    scripted.count = 1_000
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect(("127.0.0.1", scripted.gateway.port))
        connection.sendall(f"GET {PREFIX}{WATCH} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n\r\n".encode())
        eventually(lambda: scripted.sent > 3)
        time.sleep(3)
        assert scripted.sent < 300
        assert scripted.gateway.send("GET", "/healthz").status == 200
        # A client that reads receives everything.
        size = 0
        while size < 50_000_000:
            size += len(connection.recv(1_000_000))
    assert scripted.sent > 300
