"""The server's standard services: health and reflection, and that open streams take no call's place."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from service.app import Service
from service.config import Settings
from service.grpc_server.admission import Admission
from service.grpc_server.incoming_call import IncomingCall
from service.grpc_server.server import AddressUnavailable
from tests.conftest import Client, Serve, Tenant, failure
from tests.grpc_server.conftest import UNASSIGN, Log, Run, code_of, health_of, raw, reflection_of

SERVICE = "deviceassignment.v1.DeviceAssignmentService"
SERVING = health_pb2.HealthCheckResponse.SERVING


class Held:
    """Messages of a stream that stays open until the test lets go."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def __call__(self, *messages: Any) -> Iterator[Any]:
        """Gives the messages, then keeps the stream open."""
        yield from messages
        self._over.wait()

    def release(self) -> None:
        """Ends all of them."""
        self._over.set()


@pytest.fixture
def held_open() -> Iterator[Held]:
    """Keeps request streams open for the length of a test."""
    made = Held()
    yield made
    made.release()


def test_health_tells_overall_and_for_each_service_without_a_key(client: Client, tenant: Tenant) -> None:
    health = health_of(client)
    for service in ("", SERVICE):
        assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == SERVING
        watch = health.Watch(health_pb2.HealthCheckRequest(service=service))
        assert next(watch).status == SERVING
        watch.cancel()
    unknown = code_of(lambda: health.Check(health_pb2.HealthCheckRequest(service="no.Such")))
    assert unknown is grpc.StatusCode.NOT_FOUND


def test_reflection_gives_tools_all_they_need_to_make_a_call(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    told = ProtoReflectionDescriptorDatabase(client.channel)
    assert SERVICE in told.get_services()
    assert "grpc.health.v1.Health" in told.get_services()
    pool = DescriptorPool(told)
    method = pool.FindServiceByName(SERVICE).FindMethodByName("UnassignDevices")
    assert [field.name for field in method.input_type.fields] == [
        field.name for field in pb.UnassignDevicesRequest.DESCRIPTOR.fields
    ]
    reasons = method.output_type.fields_by_name["skip_reasons"].enum_type
    assert reasons is not None
    assert reasons.values_by_number[1].name == "SKIP_REASON_NOT_ASSIGNED"


def test_reflection_can_be_turned_off(serve: Serve, tenant: Tenant) -> None:
    client = serve(reflection=False)
    refused = failure(lambda: ProtoReflectionDescriptorDatabase(client.channel).get_services())
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNIMPLEMENTED, "ERROR_REASON_UNKNOWN_METHOD")
    health = health_of(client)
    assert health.Check(health_pb2.HealthCheckRequest()).status == SERVING


def test_open_watches_and_reflection_streams_take_no_call_s_place(
    serve: Serve, tenant: Tenant, held_open: Held
) -> None:
    client = serve(threads=2, waiting_calls=2)
    tenant.assign("ada@example.com", ["A", "B"])
    health = health_of(client)
    watches = [health.Watch(health_pb2.HealthCheckRequest(service=SERVICE)) for _ in range(50)]
    assert {next(watch).status for watch in watches} == {SERVING}
    reflection = reflection_of(client)
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    streams = [reflection.ServerReflectionInfo(held_open(question)) for _ in range(10)]
    for stream in streams:
        assert next(stream).list_services_response.service
    for identifier in ("A", "B"):
        assert list(client.unassign(tenant, "ada@example.com", [identifier]).unassigned_devices) == [identifier]
    assert health.Check(health_pb2.HealthCheckRequest()).status == SERVING
    for call in (*watches, *streams):
        call.cancel()


def test_watches_that_come_and_go_while_the_health_changes_do_not_stop_the_server(run: Run, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    running = run()
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            for healthy in (False, True):
                running.service._server.serving(reads=healthy, writes=healthy)

    changing = threading.Thread(target=change, daemon=True)
    changing.start()
    health = health_of(running.client)
    for _ in range(20):
        watches = [health.Watch(health_pb2.HealthCheckRequest(), timeout=120) for _ in range(10)]
        for watch in watches:
            next(watch)
            watch.cancel()
    over.set()
    changing.join(120)
    assert not changing.is_alive()
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=120).status == SERVING
    assert running.client.devices(tenant, "ada@example.com") == ["A"]


def test_the_oldest_reflection_stream_gives_way_to_a_new_one(serve: Serve, tenant: Tenant, held_open: Held) -> None:
    client = serve(threads=2)
    tenant.assign("ada@example.com", ["A"])
    reflection = reflection_of(client)
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    streams = [reflection.ServerReflectionInfo(held_open(question)) for _ in range(16)]
    for stream in streams:
        next(stream)
    silent = [reflection.ServerReflectionInfo(held_open()) for _ in range(20)]
    for _ in range(20):
        assert next(reflection.ServerReflectionInfo(iter([question]), timeout=60)).list_services_response.service
    assert code_of(lambda: next(streams[0])) is grpc.StatusCode.CANCELLED
    assert client.devices(tenant, "ada@example.com") == ["A"]
    for stream in (*streams, *silent):
        stream.cancel()


def test_callers_without_a_good_key_who_never_send_a_message_hold_no_thread(
    serve: Serve, tenant: Tenant, held_open: Held
) -> None:
    client = serve(threads=2, waiting_calls=100)
    tenant.assign("ada@example.com", ["A"])
    method = raw(client).stream_unary(UNASSIGN)
    silent = [method.future(held_open(), metadata=(("x-api-key", "da_x"),)) for _ in range(25)]
    silent += [method.future(held_open()) for _ in range(25)]
    assert list(client.unassign(tenant, "ada@example.com", ["A"]).unassigned_devices) == ["A"]
    # They are told before they have said anything.
    assert {code_of(call.result) for call in silent} == {grpc.StatusCode.UNAUTHENTICATED}


def test_a_port_that_is_taken_is_named(run: Run, database_url: str) -> None:
    port = run().port
    second = Service(Settings(database_url=database_url))
    with pytest.raises(AddressUnavailable, match=f"127.0.0.1:{port}"):
        second.start(f"127.0.0.1:{port}")
    second._database.close()


def test_an_address_whose_calls_cannot_be_taken_in_keeps_no_caller_of_another_waiting(
    database_url: str, tenant: Tenant, logged: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, over, kept = Admission.receive, threading.Event(), threading.Event()

    def keep(admission: Admission, method: str, secret: object) -> IncomingCall:
        kept.set()
        over.wait()
        return receive(admission, method, secret)

    service = Service(Settings(database_url=database_url, drain_seconds=5), addresses=2)
    first = Client(service.start("127.0.0.1:0", "127.0.0.1:0"))
    second = Client(logged.events("serving")[1]["port"])
    try:
        monkeypatch.setattr(Admission, "receive", keep)
        held = first.assignments.ListAssignedDevices.future(pb.ListAssignedDevicesRequest(), timeout=60)
        assert kept.wait(60)
        assert health_of(second).Check(health_pb2.HealthCheckRequest(), timeout=60).status
    finally:
        over.set()
        assert code_of(held.result) is grpc.StatusCode.UNAUTHENTICATED
        first.channel.close()
        second.channel.close()
        service.stop()
