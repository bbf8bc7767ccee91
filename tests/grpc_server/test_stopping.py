"""A graceful stop: what is in flight finishes, nothing new comes in, and it does not take for ever."""

import threading
import time
from collections.abc import Callable

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from service import maintenance
from service.grpc_server.reception import Reception
from service.storage.database import Database
from tests.conftest import Client, Tenant
from tests.grpc_server.conftest import Run, Running, eventually, health_of, held, reflection_of

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Stopping(threading.Thread):
    """Stops a server beside the test."""

    def __init__(self, running: Running) -> None:
        super().__init__()
        self._running = running
        self.finished: bool | None = None
        self.start()

    def run(self) -> None:
        """Stops it, and notes whether all calls finished."""
        self.finished = self._running.stop()


def refuses(client: Client, tenant: Tenant) -> bool:
    request = pb.ListAssignedDevicesRequest(customer_email="ada@example.com")
    code = client.assignments.ListAssignedDevices.future(request, metadata=tenant.metadata).code()
    assert code in {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    return code is grpc.StatusCode.UNAVAILABLE


def test_a_call_in_flight_finishes_with_its_answer_and_new_ones_are_refused(
    run: Run, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    running = run(drain_seconds=120)
    watch = health_of(running.client).Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == SERVING
    with held(database, "ada@example.com"):
        call = running.unassigning(tenant, "ada@example.com", ["A"])
        eventually(lambda: running.calls == 1)
        stopping = Stopping(running)
        assert next(watch).status == NOT_SERVING
        newcomer = Client(running.port)
        eventually(lambda: refuses(newcomer, tenant))
        assert refuses(running.client, tenant)
        newcomer.channel.close()
        assert stopping.is_alive()
    assert list(call.result().unassigned_devices) == ["A"]
    stopping.join()
    assert stopping.finished is True
    assert run().client.devices(tenant, "ada@example.com") == ["B"]


def test_open_streams_do_not_delay_the_stop(run: Run, tenant: Tenant) -> None:
    running = run(drain_seconds=120)
    watches = [health_of(running.client).Watch(health_pb2.HealthCheckRequest()) for _ in range(5)]
    assert {next(watch).status for watch in watches} == {SERVING}
    over = threading.Event()

    def questions() -> object:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        over.wait()

    stream = reflection_of(running.client).ServerReflectionInfo(questions())
    next(stream)
    started = time.monotonic()
    assert running.stop()
    assert time.monotonic() - started < 100
    over.set()


def test_callers_who_meet_the_stop_are_told_that_the_server_is_away(
    run: Run, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: set[grpc.StatusCode] = set()
    request = pb.LookupOwnersRequest(device_identifiers=["A"])
    for _ in range(2):
        running = run()
        clients = [Client(running.port) for _ in range(4)]
        over = threading.Event()

        def call(client: Client, over: threading.Event = over) -> None:
            while not over.is_set():
                code = client.assignments.LookupOwners.future(request, metadata=tenant.metadata).code()
                codes.add(code)
                if code is not grpc.StatusCode.OK:
                    return

        callers = [threading.Thread(target=call, args=(client,)) for client in clients * 6]
        for caller in callers:
            caller.start()
        eventually(lambda: grpc.StatusCode.OK in codes)
        reception = running.service._server.reception
        hold = reception.hold

        def hold_all(
            reception: Reception = reception, hold: Callable[[], None] = hold, count: int = len(callers)
        ) -> None:
            """Holds calls until every caller waits for one, for which a busy machine may take longer than usual."""
            hold()
            eventually(lambda: len(reception.calls._held or ()) == count)

        monkeypatch.setattr(reception, "hold", hold_all)
        assert running.stop()
        over.set()
        for caller in callers:
            caller.join(60)
            assert not caller.is_alive()
        for client in clients:
            client.channel.close()
    assert codes == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}


def test_the_wait_for_calls_in_flight_is_bounded(
    run: Run, tenant: Tenant, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On SQLite the last use of keys waits for the row as well, which is not what this is about.
    monkeypatch.setattr(maintenance, "_END_SECONDS", 0.5)
    tenant.assign("ada@example.com", ["A"])
    running = run(drain_seconds=0.5)
    with held(database, "ada@example.com"):
        call = running.unassigning(tenant, "ada@example.com", ["A"])
        eventually(lambda: running.calls == 1)
        stopping = Stopping(running)
        assert call.exception(timeout=120) is not None
        assert call.code() in {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
        # The caller knows of the end first: if the row were free now, the call might still be done.
        stopping.join()
    assert stopping.finished is False
    assert run().client.devices(tenant, "ada@example.com") == ["A"]
