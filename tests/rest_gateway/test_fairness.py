"""Requests of one organisation, or without a key, do not block those of others."""

import asyncio
import json
import socket
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any

import pytest

from service.domain.keys import SCOPES
from service.rest_gateway.asgi import ClientDisconnected, Message
from service.rest_gateway.call_limit import CallLimit
from service.rest_gateway.fair_thread import FairThread
from service.rest_gateway.http_error import HTTPError
from service.storage.database import Database
from service.storage.keys import Keys
from tests.conftest import Tenant, new_tenant
from tests.grpc_server.conftest import eventually
from tests.rest_gateway.conftest import Begin, Launch
from tests.rest_gateway.rest import PREFIX, Gateway, Rest

UNASSIGN = "/deviceAssignment/unassignDevicesFromOwner"
LOOKUP = "/deviceAssignment/lookupOwners"
CUSTOMER = "/customer/getCustomer/x"
WATCH = "/deviceAssignment/watchOperations"
DEVICE = "/device"
ADA = "ada@example.com"
LIMIT = {"x-request-timeout": "30"}


@pytest.fixture
def other(database: Database) -> Tenant:
    """Another organisation, which has a device."""
    made = new_tenant(database, f"other {uuid.uuid4()}")
    made.assign(ADA, ["A"])
    return made


def ask(gateway: Gateway, key: str, path: str, body: bytes | None = None) -> socket.socket:
    """Sends a request without waiting for the answer."""
    connection = socket.create_connection(("127.0.0.1", gateway.port), 120)
    method, length = ("GET", 0) if body is None else ("POST", len(body))
    head = f"{method} {PREFIX}{path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: {length}\r\n\r\n"
    connection.sendall(head.encode() + (body or b""))
    return connection


def statuses(connections: list[socket.socket]) -> list[int]:
    """Returns the statuses of the requests that have been answered."""
    found = []
    for connection in connections:
        connection.setblocking(False)
        try:
            found.append(int(connection.recv(12, socket.MSG_PEEK)[9:12]))
        except BlockingIOError:
            continue
    return found


@contextmanager
def locked(database_url: str) -> Iterator[None]:
    """Holds the write lock of the database, as a long import does."""
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield


def test_calls_of_one_organization_that_wait_for_a_lock_do_not_delay_others_or_readiness(  # noqa: PLR0917  # fixtures
    begin: Begin, launch: Launch, tenant: Tenant, other: Tenant, database: Database, database_url: str
) -> None:
    tenant.assign(ADA, ["A"])
    service, port = begin()
    gateway = launch(port)
    keys = [tenant.api_key, Keys(database).create(tenant.id, SCOPES, None)[1]]
    rest = Rest(gateway, other.api_key)
    for key in (*keys, other.api_key):
        assert Rest(gateway, key)(LOOKUP, deviceIdentifiers=["A"]).status == 200
    body = json.dumps({"customerEmail": ADA, "deviceIdentifiers": ["A"]}).encode()
    with ExitStack() as opened:
        opened.enter_context(locked(database_url))
        asked = [opened.enter_context(ask(gateway, key, UNASSIGN, body)) for key in keys for _ in range(200)]
        eventually(lambda: service._server.reception.calls.pending >= 200)
        assert rest(LOOKUP, LIMIT, deviceIdentifiers=["A"]).status == 200
        assert gateway.send("GET", "/readyz").status == 200
        # Two keys of one organisation have one share.
        eventually(lambda: statuses(asked).count(503) >= 200)
        refused = Rest(gateway, keys[0]).post(UNASSIGN, body)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert refused.error["reason"] == "ERROR_REASON_OVERLOADED"


@pytest.mark.parametrize("path", [CUSTOMER, WATCH])
def test_unknown_keys_on_get_are_checked_a_few_at_a_time(  # noqa: PLR0917  # fixtures
    path: str, begin: Begin, launch: Launch, other: Tenant, monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    free = threading.Event()
    request.addfinalizer(free.set)
    find = Keys.find

    def slow(*arguments: Any) -> Any:
        found = find(*arguments)
        if found is None:
            free.wait(120)
        return found

    monkeypatch.setattr(Keys, "find", slow)
    service, port = begin()
    gateway = launch(port)
    rest = Rest(gateway, other.api_key)
    assert rest(LOOKUP, deviceIdentifiers=["A"]).status == 200
    with ExitStack() as opened:
        asked = [opened.enter_context(ask(gateway, f"da_{n:08d}_{'1' * 40}", path)) for n in range(300)]
        eventually(lambda: len(statuses(asked)) >= 300 - 128)
        assert set(statuses(asked)) == {503}
        assert service._server.reception.calls.pending <= 8
        assert rest.get(CUSTOMER, LIMIT).status == 404
        assert gateway.send("GET", "/readyz").status == 200
        free.set()


def test_long_bodies_are_read_fairly(gateway: Gateway, tenant: Tenant, other: Tenant) -> None:
    """Slow bodies of one organisation arrive before a fast one of another."""
    long = ('{"identifier": "d", "type": "t", "properties": {"a": [' + '{"a":1},' * 18_000 + "1]}}").encode()
    rest = Rest(gateway, other.api_key)
    identifiers = [f"{number:0120d}" for number in range(60)]
    for key in (tenant.api_key, other.api_key):
        assert Rest(gateway, key)(LOOKUP, deviceIdentifiers=["A"]).status == 200
    with ExitStack() as opened:
        asked = [opened.enter_context(ask(gateway, tenant.api_key, DEVICE, long)) for _ in range(40)]
        eventually(lambda: statuses(asked))
        assert rest(LOOKUP, deviceIdentifiers=identifiers).status == 200
        assert len(statuses(asked)) < 20


async def never() -> Message:
    """The ASGI callable of a client that stays connected."""
    await asyncio.Event().wait()
    raise AssertionError


async def gone() -> Message:
    """The ASGI callable of a client that has disconnected."""
    return {"type": "http.disconnect"}


def queued(test: Callable[[FairThread, Callable[[], object], list[str]], Any]) -> list[str]:
    """Runs a test while the thread is busy. Returns what has run, in order."""
    ran: list[str] = []

    async def run() -> None:
        thread, busy, free = FairThread("test"), threading.Event(), threading.Event()

        def block() -> None:
            busy.set()
            free.wait(120)

        first = asyncio.create_task(thread.read(b"a", never, None, block))
        await asyncio.get_running_loop().run_in_executor(None, busy.wait, 120)
        try:
            await test(thread, free.set, ran)
        finally:
            free.set()
            await first

    asyncio.run(run())
    return ran


def test_owners_are_served_in_rotation_and_each_has_a_limit() -> None:
    async def test(thread: FairThread, free: Callable[[], object], ran: list[str]) -> None:
        tasks = [
            asyncio.create_task(thread.read(owner, never, None, partial(ran.append, owner.decode())))
            for owner in [b"a"] * 100 + [b"b"] * 2
        ]
        await asyncio.sleep(0)
        with pytest.raises(HTTPError, match=r".*") as refused:
            await thread.read(b"a", never, None, lambda: None)
        assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "1")
        written = asyncio.create_task(thread.write(b"a", never, lambda: ran.append("written")))
        await asyncio.sleep(0)
        free()
        await asyncio.gather(*tasks, written)

    ran = queued(test)
    assert ran[:5] == ["a", "b", "a", "b", "a"]
    assert ran[-1] == "written"


def test_a_function_without_a_client_or_time_is_not_run() -> None:
    async def test(thread: FairThread, free: Callable[[], object], ran: list[str]) -> None:
        with pytest.raises(ClientDisconnected):
            await thread.read(b"a", gone, None, lambda: ran.append("without a client"))
        with pytest.raises(HTTPError, match=r".*") as late:
            await thread.read(b"a", never, 0.01, lambda: ran.append("late"))
        assert late.value.status == 504
        cancelled = asyncio.create_task(thread.read(b"b", never, None, lambda: ran.append("cancelled")))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        free()
        await thread.read(b"b", never, None, lambda: ran.append("last"))

    assert queued(test) == ["last"]


def test_an_error_of_a_function_is_raised_in_its_coroutine() -> None:
    async def test(thread: FairThread, free: Callable[[], object], _ran: list[str]) -> None:
        free()
        with pytest.raises(ZeroDivisionError):
            await thread.read(b"a", never, None, lambda: 1 // 0)

    queued(test)


def test_an_owner_has_no_more_calls_than_are_free() -> None:
    limit = CallLimit(10, 8)

    def take(opened: ExitStack, owner: bytes) -> int:
        for taken in range(20):
            try:
                opened.enter_context(limit.acquire(owner))
            except HTTPError:
                return taken
        raise AssertionError

    for _ in range(2):
        with ExitStack() as opened:
            assert [take(opened, owner) for owner in (b"a", b"b", b"c", b"d", b"e")] == [6, 3, 1, 0, 0]
