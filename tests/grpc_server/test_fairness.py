"""One organisation's calls leave room for another's, whatever they wait for."""

import threading
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.cancellation import Cancellation
from service.domain.errors import ApiKeyInvalid
from service.domain.keys import Principal, new_secret, sha256
from service.grpc_server.authentication import Authenticator
from service.grpc_server.identification import Identification
from service.grpc_server.incoming_call import IncomingCall
from service.method_table import UNKNOWN
from service.runtime.fair_shares import FairShares
from service.storage.database import Database
from tests.conftest import Client, Tenant, failure
from tests.grpc_server.conftest import Run, eventually, held


def owners(client: Client, tenant: Tenant) -> int:
    request = pb.LookupOwnersRequest(device_identifiers=["A"])
    return client.assignments.LookupOwners(request, metadata=tenant.metadata, timeout=60).results[0].owner_count


def test_calls_that_wait_for_a_row_leave_threads_for_another_organisation(
    run: Run, tenant: Tenant, other: Tenant, database: Database
) -> None:
    for each in (tenant, other):
        each.assign("ada@example.com", ["A"])
    running = run(threads=4, waiting_calls=100)
    with held(database, "ada@example.com"):
        waiting = [running.unassigning(tenant, "ada@example.com", ["A"], validate_only=False) for _ in range(30)]
        eventually(lambda: running.calls == 30)
        beside = Client(running.port)
        for _ in range(20):
            assert owners(beside, other) == 1
        assert not any(call.done() for call in waiting)
        beside.channel.close()
    assert sum(len(call.result(timeout=60).unassigned_devices) for call in waiting) == 1


def test_an_organisation_that_has_all_its_places_is_refused_and_another_is_not(
    run: Run, tenant: Tenant, other: Tenant, database: Database
) -> None:
    for each in (tenant, other):
        each.assign("ada@example.com", ["A"])
    running = run(threads=4, waiting_calls=16)
    with held(database, "ada@example.com"):
        waiting = [running.unassigning(tenant, "ada@example.com", ["A"]) for _ in range(10)]
        eventually(lambda: running.calls == 10)
        failed = failure(lambda: running.unassigning(tenant, "ada@example.com", ["A"]).result())
        assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_OVERLOADED")
        assert (failed.retry_seconds, failed.pushback_ms) == (1, "1000")
        assert owners(running.client, other) == 1
    for call in waiting:
        call.result(timeout=60)


def test_an_organisation_has_half_of_the_streams_at_most(run: Run, tenant: Tenant, other: Tenant) -> None:
    for each in (tenant, other):
        each.assign("ada@example.com", ["A"])
    running = run(streams=8)

    def watch(tenant: Tenant) -> Any:
        stream = running.client.assignments.WatchOperations(
            pb.WatchOperationsRequest(), metadata=tenant.metadata, timeout=60
        )
        next(stream)
        return stream

    streams = [watch(tenant) for _ in range(4)]
    failed = failure(lambda: watch(tenant))
    assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_OVERLOADED")
    streams += [watch(other) for _ in range(2)]
    for stream in streams:
        stream.cancel()


def test_shares_leave_room_for_one_more_organisation() -> None:
    shares, held_by = FairShares(64), dict[str, int]()
    for owner in "abcdefg":
        while shares.fits(owner):
            shares.take(owner)
            held_by[owner] = held_by.get(owner, 0) + 1
    assert list(held_by.values()) == [32, 16, 8, 4, 2, 1, 1]
    assert not shares.fits("h")
    for _ in range(32):
        shares.release("a")
    assert shares.free == 32
    assert shares.fits("h", 16)
    assert shares.fits("h", 32)
    shares.take("h")
    assert not shares.fits("h", 17)


def test_unknown_keys_cost_two_questions_at_once_and_one_for_each_key() -> None:
    asked, go = list[str](), threading.Semaphore(0)

    def find(key: str, _: Cancellation) -> Principal | None:
        asked.append(key)
        go.acquire()
        return Principal("key_1", "org_1", frozenset()) if key == good else None

    identification = Identification(Authenticator(find, 2.0))
    good = sha256(new_secret()[0])
    bad = [sha256(new_secret()[0]) for _ in range(8)]
    answered = list[IncomingCall]()
    for key in [bad[0], good, *bad[1:], good, *bad]:
        incoming = IncomingCall("package.Service/Method", UNKNOWN, sha256=key)
        identification.find(incoming, lambda incoming=incoming: answered.append(incoming))  # type: ignore[misc]  # the loop's
    eventually(lambda: len(asked) == 2)
    assert asked == [bad[0], good]
    for _ in range(9):
        go.release()
    eventually(lambda: len(answered) == 18)
    assert sorted(asked) == sorted([good, *bad])
    for incoming in answered:
        if incoming.sha256 == good:
            assert incoming.owner == "org_1"
            assert incoming.error is None
        else:
            assert isinstance(incoming.error, ApiKeyInvalid)
    assert len({id(incoming.error) for incoming in answered if incoming.error}) == 16
    identification.close()


@pytest.mark.parametrize(
    "secret",
    [None, b"da_12345678_", "", "da_", "da_1234567_" + 40 * "a", "da_12345678_" + 39 * "a", "da_12345678_" + 41 * "a",
     "DA_12345678_" + 40 * "a", "da_12345678_" + 39 * "a" + "é", "da_12345678_" + 40 * "a" + "\n", "a" * 4_000_000],
)  # fmt: skip
def test_what_cannot_be_a_key_costs_no_question(run: Run, tenant: Tenant, secret: str | bytes | None) -> None:
    running = run()
    asked: list[str] = []
    authenticator = running.service._authenticator
    authenticator._find = lambda key, _: asked.append(key)
    incoming = running.service._server.reception._admission.receive(
        "deviceassignment.v1.DeviceService/GetDevice", secret
    )
    assert isinstance(incoming.error, ApiKeyInvalid)
    assert asked == []
