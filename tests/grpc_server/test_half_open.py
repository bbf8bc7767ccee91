"""Calls without a message, and callers who do not read: they cost no thread, and others are served."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from service.grpc_server import health
from service.grpc_server.capacity import Capacity
from service.grpc_server.incoming_call import IncomingCall
from service.grpc_server.receiving import Job
from service.method_table import UNKNOWN
from service.storage.database import Database
from service.storage.keys import Keys
from tests.conftest import Client, Tenant, failure
from tests.grpc_server.conftest import LIST, UNASSIGN, Log, Run, Running, eventually, health_of, raw, reflection_of
from tests.grpc_server.http2 import DATA, Caller

LOOKUP = "/deviceassignment.v1.DeviceAssignmentService/LookupOwners"
WATCH = "/deviceassignment.v1.DeviceAssignmentService/WatchOperations"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
CHECK = "/grpc.health.v1.Health/Check"
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def silence() -> Iterator[Any]:
    """Makes messages that never come, until the test ends."""
    over = threading.Event()

    def none() -> Iterator[bytes]:
        over.wait()
        yield from ()

    yield none
    over.set()


def looks_up(client: Client, tenant: Tenant) -> bool:
    request = pb.LookupOwnersRequest(device_identifiers=["A"])
    return client.assignments.LookupOwners(request, metadata=tenant.metadata, timeout=60).results[0].found


def checks(client: Client) -> bool:
    return bool(health_of(client).Check(health_pb2.HealthCheckRequest(), timeout=60).status == SERVING)


def silent_calls(running: Running, silence: Any, method: str, count: int, metadata: Any = ()) -> list[Any]:
    """Begins calls that send headers alone."""
    return [raw(running.client).stream_unary(method).future(silence(), metadata=metadata) for _ in range(count)]


@pytest.mark.parametrize("method", [LOOKUP, UNASSIGN, LIST, WATCH])
def test_calls_without_a_message_stop_no_organisation(
    run: Run, tenant: Tenant, other: Tenant, silence: Any, method: str
) -> None:
    for each in (tenant, other):
        each.assign("ada@example.com", ["A"])
    running = run(threads=2, streams=8, waiting_calls=200, receive_bytes=1024**3)
    assert looks_up(running.client, tenant)
    silent = silent_calls(running, silence, method, 60, tenant.metadata)  # kept: gRPC cancels what is let go of
    reception = running.service._server.reception
    held = {"calls": reception.calls, "streams": reception.streams}
    eventually(lambda: [len(held[each].idle(0, answered=False)) for each in held] in ([60, 0], [0, 4]))
    beside = Client(running.port)
    assert looks_up(beside, other)
    assert looks_up(beside, tenant)
    assert checks(beside)
    stream: Any = beside.assignments.WatchOperations(pb.WatchOperationsRequest(), metadata=other.metadata, timeout=60)
    assert next(stream).operation.assigned_count == 1
    for call in (stream, *silent):
        call.cancel()
    beside.channel.close()


def test_calls_of_health_without_a_message_stop_no_probe(run: Run, tenant: Tenant, silence: Any) -> None:
    running = run()
    silent = silent_calls(running, silence, CHECK, 100) + silent_calls(running, silence, HEALTH_WATCH, 100)
    eventually(lambda: running.service._server.reception.open_calls.pending >= 8)  # others give way
    assert checks(running.client)
    beside = Client(running.port)
    assert checks(beside)
    watch = health_of(beside).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(watch).status == SERVING
    for call in (watch, *silent):
        call.cancel()
    beside.channel.close()


def test_more_calls_of_health_without_a_message_than_there_are_places_stop_no_probe(run: Run, tenant: Tenant) -> None:
    running = run()
    callers = [Caller(running.port) for _ in range(4)]
    for caller in callers:
        for _ in range(200):
            caller.begin(CHECK)
    eventually(lambda: len(running.service._server.reception.open_calls.idle(0, answered=False)) >= 8)
    for _ in range(5):
        assert checks(running.client)
    for caller in callers:
        caller.close()


def test_reflection_answers_beside_streams_without_a_message(run: Run, tenant: Tenant, silence: Any) -> None:
    running = run()
    reflection = reflection_of(running.client)
    silent = [reflection.ServerReflectionInfo(silence()) for _ in range(40)]
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    beside = Client(running.port)
    assert next(reflection_of(beside).ServerReflectionInfo(iter([question]), timeout=60))
    for stream in silent:
        stream.cancel()
    beside.channel.close()


def test_a_call_whose_message_does_not_come_ends_after_a_time(
    run: Run, tenant: Tenant, silence: Any, logged: Log
) -> None:
    running = run(message_seconds=0.5)
    (silent,) = silent_calls(running, silence, LOOKUP, 1, tenant.metadata)
    failed = failure(lambda: silent.result(timeout=60))
    assert (failed.code, failed.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "ERROR_REASON_MESSAGE_TIMEOUT")
    assert failed.text == "The request's message was not complete within 0.5 seconds; send it again"
    eventually(lambda: running.calls == 0)
    (line,) = [line for line in logged.events("call") if line["method"].endswith("LookupOwners")]
    assert (line["status"], line["reason"]) == ("DEADLINE_EXCEEDED", "ERROR_REASON_MESSAGE_TIMEOUT")
    assert line["duration_ms"] >= 500


def test_half_a_message_is_no_message(run: Run, tenant: Tenant) -> None:
    running = run(message_seconds=0.5)
    caller = Caller(running.port)
    stream = caller.begin(LOOKUP, tenant.metadata)
    caller.send(stream, b"\n\x01A" * 1_000, length=1_000_000)
    assert DATA not in caller.frames(stream)
    eventually(lambda: running.calls == 0)
    caller.close()


def test_a_revoked_key_ends_the_calls_whose_message_has_not_come(
    run: Run, tenant: Tenant, database: Database, silence: Any
) -> None:
    running = run(key_cache_seconds=0.2)
    silent = silent_calls(running, silence, LOOKUP, 3, tenant.metadata)
    eventually(lambda: running.calls == 3)
    assert Keys(database).revoke(tenant.key_id)
    for call in silent:
        failed = failure(lambda call=call: call.result(timeout=60))  # type: ignore[misc]  # the loop's call
        assert (failed.code, failed.reason) == (grpc.StatusCode.UNAUTHENTICATED, "ERROR_REASON_API_KEY_INVALID")
    eventually(lambda: running.calls == 0)


def test_the_oldest_call_without_a_message_gives_way_where_an_organisation_has_no_more_places(
    run: Run, tenant: Tenant, silence: Any
) -> None:
    tenant.assign("ada@example.com", ["A"])
    running = run(threads=2, waiting_calls=6)  # four of eight places are an organisation's
    silent = silent_calls(running, silence, LOOKUP, 4, tenant.metadata)
    eventually(lambda: len(running.service._server.reception.calls.idle(1.0, answered=False)) == 4)
    assert looks_up(running.client, tenant)
    eventually(lambda: any(call.done() for call in silent))
    lost = [call for call in silent if call.done()]
    assert [failure(call.result).reason for call in lost] == ["ERROR_REASON_OVERLOADED"]


def test_bytes_are_set_aside_for_slow_messages_and_no_organisation_has_all_of_them(
    run: Run, tenant: Tenant, other: Tenant
) -> None:
    for each in (tenant, other):
        each.assign("ada@example.com", ["A"])
    mib = 1024 * 1024
    running = run(receive_bytes=16 * mib)  # four messages of the longest kind
    caller = Caller(running.port)
    slow = [caller.begin(UNASSIGN, tenant.metadata) for _ in range(6)]
    for stream in slow:
        caller.send(stream, b"\n\x01", length=4 * mib)
    eventually(lambda: len(running.service._server.reception.calls.idle(0.5, answered=False)) == 2)
    assert looks_up(running.client, other)
    assert looks_up(running.client, tenant)
    caller.close()
    eventually(lambda: running.calls == 0)
    assert running.service._server.reception.calls._capacity._bytes.used == 0


def test_a_watch_of_health_that_is_not_read_holds_up_nothing(run: Run, tenant: Tenant) -> None:
    running = run()
    deaf = Caller(running.port, window=0)
    message = health_pb2.HealthCheckRequest().SerializeToString()
    for _ in range(50):
        deaf.send(deaf.begin(HEALTH_WATCH), message, end=True)
    servicer = running.service._server._health
    eventually(lambda: len(servicer._all) == 50)
    assert running.service._server.reception.open_calls.pending == 0
    watch = health_of(running.client).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(watch).status == SERVING
    for _ in range(3):
        running.service._server.serving(reads=False, writes=False)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        running.service._server.serving(reads=True, writes=True)
        assert next(watch).status == SERVING
    assert checks(running.client)
    watch.cancel()
    deaf.close()
    eventually(lambda: not servicer._all)


def test_answers_that_are_not_read_hold_no_thread(run: Run, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    running = run(threads=2)
    deaf = Caller(running.port, window=0)
    message = pb.LookupOwnersRequest(device_identifiers=["A"]).SerializeToString()
    for _ in range(20):
        deaf.send(deaf.begin(LOOKUP, tenant.metadata), message, end=True)
    assert looks_up(running.client, tenant)
    deaf.close()


def test_a_connection_beyond_the_limit_is_closed_and_the_others_are_served(run: Run, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    running = run(connections=4)
    assert looks_up(running.client, tenant)
    more = [Caller(running.port) for _ in range(20)]
    for caller in more:
        caller.socket.settimeout(0.1)
    eventually(lambda: sum(caller.closed() for caller in more) >= 17)
    assert looks_up(running.client, tenant)
    for caller in more:
        caller.close()


def test_bursts_of_reflection_streams_without_a_message_lock_nobody_out(run: Run, tenant: Tenant) -> None:
    running = run()
    callers = [Caller(running.port) for _ in range(4)]
    for caller in callers:
        for _ in range(200):
            caller.begin(REFLECTION)
    question = reflection_pb2.ServerReflectionRequest(list_services="")

    def answers() -> bool:
        stream = reflection_of(running.client).ServerReflectionInfo(iter([question]), timeout=60, wait_for_ready=True)
        try:
            return bool(next(stream).list_services_response.service)
        except grpc.RpcError as error:
            # The server may read the rest of the burst later, and this one is the oldest then.
            assert error.code() is grpc.StatusCode.CANCELLED  # noqa: PT017  # only in this case
            return False

    for _ in range(5):
        eventually(answers)
    for caller in callers:
        caller.close()


def test_answers_that_are_not_read_keep_their_room_and_end_after_a_time(run: Run, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", [f"{number:0200}" for number in range(1_000)])
    running = run(message_seconds=2)
    deaf = Caller(running.port, window=0)
    message = pb.ListAssignedDevicesRequest(customer_email="ada@example.com").SerializeToString()
    streams = [deaf.begin(LIST, tenant.metadata) for _ in range(5)]
    for stream in streams:
        deaf.send(stream, message, end=True)
    calls = running.service._server.reception.calls
    eventually(lambda: len(calls.idle(0, answered=True)) == 5)
    assert calls.pending == 5
    assert calls._capacity._bytes.used > 5 * 200_000
    eventually(lambda: calls.pending == 0)
    assert calls._capacity._bytes.used == 0
    deaf.close()


def test_unread_answers_leave_no_more_room_than_an_organisation_has(run: Run, tenant: Tenant, other: Tenant) -> None:
    for each in (tenant, other):
        each.assign("ada@example.com", [f"{number:0255}" for number in range(10_000)])
    mib = 1024 * 1024
    running = run(receive_bytes=16 * mib)
    deaf = Caller(running.port, window=0)
    request = pb.ListAssignedDevicesRequest(customer_email="ada@example.com", page_size=10_000)
    calls = running.service._server.reception.calls
    for _ in range(8):
        eventually(lambda: len(calls.idle(1.1, answered=True)) == len(calls.idle(0, answered=True)))
        before = len(calls.idle(0, answered=True))
        deaf.send(deaf.begin(LIST, tenant.metadata), request.SerializeToString(), end=True)
        eventually(lambda before=before: len(calls.idle(0, answered=True)) >= min(before + 1, 2))  # type: ignore[misc]  # the loop's
        assert calls._capacity._bytes.used < 16 * mib
    assert len(running.client.assignments.ListAssignedDevices(request, metadata=other.metadata, timeout=60).devices)
    deaf.close()


def test_a_call_keeps_its_place_until_its_thread_is_done_and_its_answer_is_sent() -> None:
    for first in ("end", "over"):
        capacity = Capacity(8, 1_000_000, 1.0)
        incoming, job = IncomingCall(LOOKUP[1:], UNKNOWN, has_end=True), Job(int, ())
        assert capacity.enter(incoming) == (True, None)
        capacity.wait(incoming, job)
        assert capacity.receive(incoming, 100_000)
        steps: list[Callable[[], None]] = [lambda: capacity.end(incoming, job), lambda: capacity.over(incoming)]  # noqa: B023  # run within the round
        for step in steps if first == "end" else reversed(steps):
            assert (capacity.used, capacity._bytes.used) == (1, 100_000)
            step()
        assert (capacity.used, capacity._bytes.used, capacity.idle(0)) == (0, 0, [])


def test_a_thread_that_cannot_be_started_costs_no_call(
    run: Run, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant.assign("ada@example.com", ["A"])
    running = run()
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith(("call_", "health_")):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    request = pb.LookupOwnersRequest(device_identifiers=["A"])
    waiting = [
        running.client.assignments.LookupOwners.future(request, metadata=tenant.metadata, timeout=60) for _ in range(3)
    ]
    probe = health_of(running.client).Check.future(health_pb2.HealthCheckRequest(), timeout=60)
    eventually(lambda: running.calls == 3)
    monkeypatch.undo()
    assert looks_up(running.client, tenant)
    assert checks(running.client)
    assert [call.result().results[0].found for call in waiting] == [True] * 3
    assert probe.result().status == SERVING


def test_the_oldest_watch_of_health_gives_way_where_there_are_too_many(
    run: Run, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_MAX_WATCHES", 3)
    running = run()
    watches = []
    for _ in range(3):
        watches.append(health_of(running.client).Watch(health_pb2.HealthCheckRequest(), timeout=60))
        assert next(watches[-1]).status == SERVING
    last = health_of(running.client).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(last).status == SERVING
    assert watches[0].code() is grpc.StatusCode.CANCELLED
    running.service._server.serving(reads=False, writes=False)
    for watch in (*watches[1:], last):
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
    eventually(lambda: running.service._server._health._all == {})


def test_health_lists_all_states(run: Run, tenant: Tenant) -> None:
    answered: Any = raw(run().client).unary_unary("/grpc.health.v1.Health/List")(b"")
    assert b"deviceassignment.v1.DeviceService" in answered


def test_a_call_whose_key_is_being_looked_up_is_told_that_the_server_stops(run: Run, tenant: Tenant) -> None:
    running = run()
    go = threading.Event()
    running.service._authenticator._find = lambda *_: (go.wait(60), None)[1]
    request = pb.LookupOwnersRequest(device_identifiers=["A"])
    call = running.client.assignments.LookupOwners.future(request, metadata=tenant.metadata, timeout=60)
    eventually(lambda: running.service._server.reception._identification.pending == 1)
    assert running.stop()
    assert failure(call.result).reason == "ERROR_REASON_STOPPING"
    go.set()


def test_without_receiving_ahead_threads_wait_for_messages_but_not_for_ever(
    run: Run, tenant: Tenant, other: Tenant, silence: Any
) -> None:
    for each in (tenant, other):
        each.assign("ada@example.com", ["A"])
    running = run(threads=4, message_seconds=2, receive_ahead=False)
    silent = silent_calls(running, silence, LOOKUP, 6, tenant.metadata)
    silent += silent_calls(running, silence, CHECK, 1)
    deaf = Caller(running.port, window=0)
    deaf.send(deaf.begin(HEALTH_WATCH), health_pb2.HealthCheckRequest().SerializeToString(), end=True)
    eventually(lambda: running.calls == 6)
    assert looks_up(running.client, other)
    assert checks(running.client)
    watch = health_of(running.client).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(watch).status == SERVING
    watch.cancel()
    # Those that wait for a thread behind silent calls are not late themselves.
    assert looks_up(running.client, tenant)
    assert {call.code() for call in silent} <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
    eventually(lambda: running.calls == 0)
    deaf.close()
