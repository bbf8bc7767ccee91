"""Invalid keys are refused before a body is read, and cost the server little."""

import socket
import threading
import time

import grpc
import pytest

from service.domain.errors import ApiKeyInvalid
from service.domain.keys import new_secret
from service.grpc_server.status import to_status
from service.rest_gateway.keys import KEY_PATTERN
from service.runtime.redaction import API_KEY_PATTERN
from service.storage.keys import Keys
from tests.conftest import Tenant
from tests.grpc_server.conftest import eventually
from tests.rest_gateway.conftest import Begin, Launch, Scripted, waiting
from tests.rest_gateway.rest import KEY, PREFIX, Gateway, Rest

QUERY = "/customer/queryCustomer"
UNASSIGN = "/deviceAssignment/unassignDevicesFromOwner"
ADA = "ada@example.com"


def head(path: str, *lines: str) -> bytes:
    """Writes the head of a request with a body that does not come."""
    return "\r\n".join([f"POST {PREFIX}{path} HTTP/1.1", "host: x", "content-length: 1000", *lines, "\r\n"]).encode()


@pytest.mark.parametrize("line", ["x-other: 1", "x-api-key: da_nonsense", f"x-api-key: {KEY}"])
def test_an_invalid_key_is_refused_before_the_body_arrives(gateway: Gateway, line: str) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), 60) as connection:
        connection.sendall(head(UNASSIGN, line))
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_with_an_invalid_key_there_is_no_100_continue(gateway: Gateway, rest: Rest) -> None:
    for key, first in ((KEY, b"HTTP/1.1 401"), (rest.api_key, b"HTTP/1.1 100")):
        with socket.create_connection(("127.0.0.1", gateway.port), 60) as connection:
            connection.sendall(head(UNASSIGN, f"x-api-key: {key}", "expect: 100-continue"))
            assert connection.recv(12) == first


def test_all_invalid_keys_have_the_same_answer(gateway: Gateway, rest: Rest, tenant: Tenant) -> None:
    def error_of(**headers: str) -> tuple[int, dict[str, object]]:
        answer = gateway.send("POST", PREFIX + QUERY, b"{", {name.replace("_", "-"): v for name, v in headers.items()})
        return answer.status, {**answer.error, "callId": ""}

    wrong = error_of(x_api_key=KEY)
    assert wrong[0] == 401
    for bad in ({}, {"x_api_key": ""}, {"x_api_key": "da_nonsense"}, {"x_api_key": tenant.api_key + "é"}):
        assert error_of(**bad) == wrong
    assert gateway.send("GET", f"{PREFIX}/customer/getCustomer/x").status == 401
    assert gateway.send("GET", f"{PREFIX}/deviceAssignment/watchOperations").status == 401
    assert rest.post(QUERY, b"{").status == 400


def test_new_keys_match_the_pattern() -> None:
    for _ in range(10):
        secret = new_secret()[0]
        assert KEY_PATTERN.fullmatch(secret.encode())
        assert API_KEY_PATTERN.fullmatch(secret)


def test_a_valid_key_is_checked_once_and_a_revoked_one_is_refused_within_seconds(
    begin: Begin, launch: Launch, tenant: Tenant
) -> None:
    tenant.assign(ADA, ["A"])
    _, port = begin()
    rest = Rest(launch(port), tenant.api_key)
    assert rest(QUERY, email=ADA).status == 200
    Keys(tenant.database).revoke(tenant.key_id)
    eventually(lambda: rest(QUERY, email=ADA).status == 401)
    # The server's refusal has removed the key from the cache, so bodies are not read any more.
    assert rest.post(QUERY, b"{").status == 401


def test_a_flood_of_unknown_keys_is_bounded_and_known_keys_are_served_meanwhile(
    scripted: Scripted, launch: Launch
) -> None:
    gateway = launch(scripted.port)
    known = Rest(gateway, KEY)
    assert known(QUERY).status == 200
    free, asked = threading.Event(), []

    def answer(context: grpc.ServicerContext) -> None:
        asked.append(1)
        free.wait(60)
        context.abort_with_status(to_status(ApiKeyInvalid(), "call-1"))

    scripted.check = answer
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda n=number: statuses.append(Rest(gateway, f"da_{n:08d}_{'1' * 40}")(QUERY).status))
        for number in range(150)
    ]
    for thread in threads:
        thread.start()
    # Requests over the limit are refused at once.
    eventually(lambda: len(statuses) >= 150 - 128)
    assert set(statuses) == {503}
    assert len(asked) == 2
    assert known(QUERY).status == 200
    assert gateway.send("GET", "/healthz").status == 200
    free.set()
    for thread in threads:
        thread.join(60)
    assert set(statuses) == {401, 503}


def test_a_key_check_without_an_answer_is_504(scripted: Scripted, launch: Launch) -> None:
    free = threading.Event()
    scripted.check = waiting(free)
    started = time.monotonic()
    answer = Rest(launch(scripted.port), KEY)(QUERY, {"x-request-timeout": "0.5"}, email=ADA)
    free.set()
    assert (answer.status, answer.error["reason"]) == (504, "ERROR_REASON_DEADLINE_EXCEEDED")
    assert time.monotonic() - started < 30
