"""Lookups that share their questions, on real servers: an answer is as exact as alone, and an end is one's own."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from sqlalchemy import text

from service.storage.database import Database
from tests.conftest import Client, Serve, Tenant

CALLERS = 16
TRANSFERS = 300
LOOKED_AT_LEAST = 200


def lookup(client: Client, tenant: Tenant, *identifiers: str, timeout: float | None = None) -> list[list[str]]:
    """Calls LookupOwners and gives the owners' addresses of each device."""
    request = pb.LookupOwnersRequest(device_identifiers=identifiers)
    answer = client.assignments.LookupOwners(request, metadata=tenant.metadata, timeout=timeout)
    assert [result.device_identifier for result in answer.results] == list(identifiers)
    return [[owner.email for owner in result.owners] for result in answer.results]


def customer(number: int) -> str:
    return f"customer-{number:04}@example.com"


def test_whoever_asks_after_a_transfer_was_answered_is_told_of_it(serve: Serve, tenant: Tenant) -> None:
    tenant.assign(customer(0), ["A", "B"])
    readers, writer = serve(threads=CALLERS), serve()
    answered, looked, over = 0, 0, threading.Event()
    count = threading.Lock()

    def write() -> None:
        nonlocal answered
        try:
            while (answered < TRANSFERS or looked < LOOKED_AT_LEAST) and not over.is_set():
                transfer = pb.TransferDevicesRequest(
                    from_customer_email=customer(answered),
                    to_customer_email=customer(answered + 1),
                    device_identifiers=["A", "B"],
                )
                done = writer.assignments.TransferDevices(transfer, metadata=tenant.metadata)
                assert list(done.transferred_devices) == ["A", "B"]
                answered += 1
        finally:
            over.set()

    def read(reader: int) -> None:
        nonlocal looked
        wanted = [["A"], ["B"], ["B", "A"]][reader % 3]
        try:
            while not over.is_set():
                before = answered
                owners = lookup(readers, tenant, *wanted)
                assert owners == [owners[0]] * len(wanted), "devices that are passed on together have one owner"
                [owner] = owners[0]
                assert customer(before) <= owner <= customer(answered + 1)
                with count:
                    looked += 1
        finally:
            over.set()

    with ThreadPoolExecutor(CALLERS + 1) as pool:
        ends = [*(pool.submit(read, reader) for reader in range(CALLERS)), pool.submit(write)]
        for end in ends:
            end.result(120)
    assert answered >= TRANSFERS


@pytest.fixture
def fleet(tenant: Tenant) -> dict[str, str]:
    """Devices, and whose each is."""
    owners = {f"D{number}": customer(number) for number in range(CALLERS)}
    for identifier, owner in owners.items():
        tenant.assign(owner, [identifier])
    return owners


@pytest.fixture
def locked(database: Database, fleet: dict[str, str]) -> Iterator[threading.Event]:
    """Has every lookup wait in the database until the event is set, or the test is over."""
    assert fleet  # assigned before
    release, holds = threading.Event(), threading.Event()

    def hold() -> None:
        with database.session() as connection:
            connection.execute(text("LOCK TABLE assignment IN ACCESS EXCLUSIVE MODE"))
            holds.set()
            release.wait(600)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert holds.wait(120)
        yield release
        release.set()
        held.result(120)


# SQLite's readers wait for nobody.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_callers_who_give_up_take_nobody_with_them(
    serve: Serve, tenant: Tenant, fleet: dict[str, str], locked: threading.Event
) -> None:
    client = serve(threads=CALLERS)

    def ask(number: int) -> list[list[str]] | grpc.StatusCode:
        try:
            return lookup(client, tenant, f"D{number}", timeout=0.5 if number % 2 else None)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code

    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(ask, number) for number in range(CALLERS)]
        for call in calls[1::2]:
            assert call.result(120) is grpc.StatusCode.DEADLINE_EXCEEDED
        assert not any(call.done() for call in calls[::2])
        locked.set()
        for number, call in enumerate(calls):
            if number % 2 == 0:
                assert call.result(120) == [[fleet[f"D{number}"]]]
    assert lookup(client, tenant, "D1") == [[fleet["D1"]]]
