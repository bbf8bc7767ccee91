"""A call is freed when it is over, not when the collector comes, for which all calls would have to wait."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from grpc._server import _Context
from sqlalchemy import text

from service.domain.errors import ServiceError
from service.grpc_server.call import Call
from service.storage.database import Database
from tests.conftest import Tenant, failure
from tests.grpc_server.conftest import UNASSIGN, Run, Running, eventually, raw

_OURS = (Call, ServiceError, _Context)


@contextmanager
def without_collection() -> Iterator[None]:
    """Keeps the collector from coming, and afterwards finds what only it could have freed in `gc.garbage`."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
    finally:
        gc.set_debug(0)
        gc.enable()


def ours() -> int:
    """Counts what there is of calls."""
    return sum(issubclass(type(thing), _OURS) for thing in gc.get_objects())


def left_behind(running: Running, calls: Callable[[], None]) -> list[object]:
    """Makes calls and gives what they leave to the collector."""
    calls()  # the first ones leave what is made once
    gc.garbage.clear()
    with without_collection():
        before = ours()
        calls()
        reception = running.service._server.reception
        eventually(lambda: reception.idle and not reception.streams.pending)
        # gRPC lets go of a call a moment after it has counted it; what never goes is found below.
        until = time.monotonic() + 10
        while ours() > before and time.monotonic() < until:
            time.sleep(0.02)
    found: list[object] = [thing for thing in gc.garbage if isinstance(thing, _OURS)]
    gc.garbage.clear()
    return found


def test_a_call_that_is_answered_leaves_nothing_to_the_collector(run: Run, tenant: Tenant) -> None:
    running = run()
    tenant.assign("ada@example.com", ["A", "B", "C"])

    def calls() -> None:
        running.client.unassign(tenant, "ada@example.com", ["A", "X"])
        running.client.page(tenant, "ada@example.com")
        request = pb.LookupOwnersRequest(device_identifiers=["B"])
        running.client.assignments.LookupOwners(request, metadata=tenant.metadata)

    assert left_behind(running, calls) == []


def test_a_call_that_is_refused_leaves_nothing_to_the_collector(run: Run, tenant: Tenant) -> None:
    running = run()
    reading = tenant.key("assignments:read")

    def calls() -> None:
        failure(lambda: running.client.unassign(tenant, "nobody@example.com", ["A"]))
        failure(lambda: running.client.unassign(tenant, "no address", []))
        failure(lambda: running.client.assignments.UnassignDevices(pb.UnassignDevicesRequest(), metadata=reading))
        failure(lambda: running.client.assignments.UnassignDevices(pb.UnassignDevicesRequest()))

    assert left_behind(running, calls) == []


def test_a_stream_that_the_caller_has_left_leaves_nothing_to_the_collector(run: Run, tenant: Tenant) -> None:
    running = run()
    tenant.assign("ada@example.com", ["A"])

    def calls() -> None:
        watching = running.client.assignments.WatchOperations(pb.WatchOperationsRequest(), metadata=tenant.metadata)
        assert next(watching).operation.assigned_count == 1
        watching.cancel()
        with pytest.raises(grpc.RpcError):
            next(watching)

    assert left_behind(running, calls) == []


def test_a_call_that_a_defect_ends_leaves_nothing_to_the_collector(
    run: Run, tenant: Tenant, database: Database
) -> None:
    running = run()
    tenant.assign("ada@example.com", ["A"])
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE customer_revision RENAME TO customer_revision_gone"))

    def calls() -> None:
        failed = failure(lambda: running.client.unassign(tenant, "ada@example.com", ["A"]))
        assert failed.code == grpc.StatusCode.INTERNAL

    assert left_behind(running, calls) == []


def test_a_caller_who_leaves_before_the_message_leaves_nothing_to_the_collector(run: Run, tenant: Tenant) -> None:
    running = run()

    def calls() -> None:
        left = threading.Event()

        def nothing() -> Iterator[bytes]:
            left.wait()
            yield from ()

        call = raw(running.client).stream_unary(UNASSIGN).future(nothing(), metadata=tenant.metadata)
        eventually(lambda: running.calls == 1)
        call.cancel()
        left.set()
        eventually(lambda: running.calls == 0)

    assert left_behind(running, calls) == []
