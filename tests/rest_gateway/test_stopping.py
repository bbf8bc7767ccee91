"""How the gateway stops, and what happens to calls whose clients disconnect."""

import signal
import socket
import threading
import time

import pytest

from service.storage.sqlite import backend as sqlite
from tests.conftest import Tenant
from tests.grpc_server.conftest import eventually, held
from tests.rest_gateway.conftest import Begin, Launch
from tests.rest_gateway.rest import PREFIX, Answer, Rest

ADA = "ada@example.com"
UNASSIGN = "/deviceAssignment/unassignDevicesFromOwner"


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_requests_in_flight_and_exits_with_0(
    begin: Begin, launch: Launch, tenant: Tenant, number: int
) -> None:
    tenant.assign(ADA, ["A"])
    service, port = begin()
    gateway = launch(port)
    answers: list[Answer] = []
    rest = Rest(gateway, tenant.api_key)
    idle = gateway.connection()
    idle.connect()
    caller = threading.Thread(target=lambda: answers.append(rest(UNASSIGN, customerEmail=ADA, deviceIdentifiers=["A"])))
    with held(tenant.database, ADA):
        caller.start()
        eventually(lambda: service._server.reception.calls.pending)
        gateway.process.send_signal(number)
        eventually(lambda: refuses(gateway.port))
        assert gateway.process.poll() is None
    caller.join()
    assert answers[0].json["unassignedDevices"] == ["A"]
    assert gateway.stop() == 0
    assert [event["event"] for event in gateway.events] == ["serving REST", "request", "stopped REST"]
    idle.close()


def test_a_request_that_takes_too_long_is_cancelled(
    begin: Begin, launch: Launch, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SQLite's wait for another process cannot be cut short.
    monkeypatch.setattr(sqlite, "MAX_WAIT_SECONDS", 5.0)
    tenant.assign(ADA, ["A"])
    service, port = begin()
    gateway = launch(port, drain_seconds="0.5")
    with held(tenant.database, ADA):
        connection = gateway.connection()
        body = b'{"customerEmail": "ada@example.com", "deviceIdentifiers": ["A"]}'
        connection.request("POST", PREFIX + UNASSIGN, body, {"x-api-key": tenant.api_key})
        eventually(lambda: service._server.reception.calls.pending)
        assert gateway.stop() == 0
        eventually(lambda: not service._server.reception.calls.pending)
    connection.close()


def test_a_disconnect_cancels_the_call(
    begin: Begin, launch: Launch, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_WAIT_SECONDS", 5.0)  # as above
    tenant.assign(ADA, ["A"])
    service, port = begin()
    gateway = launch(port)
    rest = Rest(gateway, tenant.api_key)
    with held(tenant.database, ADA):
        connection = gateway.connection()
        body = b'{"customerEmail": "ada@example.com", "deviceIdentifiers": ["A"]}'
        connection.request("POST", PREFIX + UNASSIGN, body, {"x-api-key": tenant.api_key})
        eventually(lambda: service._server.reception.calls.pending)
        connection.close()
        eventually(lambda: not service._server.reception.calls.pending)
    eventually(lambda: [line["status"] for line in gateway.requests()] == [499])
    assert rest(UNASSIGN, customerEmail=ADA, deviceIdentifiers=["A"]).json["unassignedDevices"] == ["A"]


def test_a_disconnect_within_a_body_is_logged_as_499_alone(begin: Begin, launch: Launch, tenant: Tenant) -> None:
    gateway = launch(begin()[1])
    head = f"POST {PREFIX}{UNASSIGN} HTTP/1.1\r\nhost: x\r\nx-api-key: {tenant.api_key}\r\ncontent-length: 99\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(head.encode() + b'{"customerEmail": ')
        time.sleep(0.2)
    eventually(lambda: [line["status"] for line in gateway.requests()] == [499])
    assert {event["event"] for event in gateway.events} == {"serving REST", "request"}
