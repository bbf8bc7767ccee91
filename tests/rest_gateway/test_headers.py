"""The headers of requests and responses."""

import threading
import time

import pytest

from tests.conftest import Tenant
from tests.grpc_server.conftest import eventually, held
from tests.rest_gateway.conftest import Begin, Launch, Scripted
from tests.rest_gateway.rest import KEY, PREFIX, Gateway, Rest

UNASSIGN = "/deviceAssignment/unassignDevicesFromOwner"
QUERY = "/customer/queryCustomer"
UUID = "123e4567-e89b-12d3-a456-426614174000"
ADA = "ada@example.com"


def test_key_trace_and_request_id_are_passed_on_and_no_other_headers(scripted: Scripted) -> None:
    rest = Rest(scripted.gateway, KEY)
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "x=1,y=2", "x-request-id": "r-1"}
    answer = rest(QUERY, {**trace, "cookie": "c", "authorization": "a", "x-forwarded-for": "f"}, email=ADA)
    assert answer.status == 200
    passed = {name: value for name, value in scripted.metadata.items() if name != "user-agent"}
    assert passed == {**trace, "x-api-key": KEY}
    rest(QUERY, {"traceparent": "nonsense", "tracestate": "x=1"}, email=ADA)
    assert set(scripted.metadata) == {"x-api-key", "x-request-id", "user-agent"}


def test_the_deadline_is_that_of_the_header_or_of_the_setting(scripted: Scripted) -> None:
    rest = Rest(scripted.gateway, KEY)
    assert rest(QUERY, email=ADA).status == 200
    assert scripted.seconds
    assert 5 < scripted.seconds < 61
    assert rest(QUERY, {"x-request-timeout": "300.5"}, email=ADA).status == 200
    assert 200 < scripted.seconds < 301
    for wrong in ("0", "-1", "soon", "", "1e4", "3600.1", "nan", "9" * 30):
        assert rest(QUERY, {"x-request-timeout": wrong}, email=ADA).fields == ["X-Request-Timeout"]


def test_a_call_that_is_too_slow_is_504(rest: Rest, tenant: Tenant) -> None:
    tenant.assign(ADA, ["A"])
    with held(tenant.database, ADA):
        started = time.monotonic()
        answer = rest(UNASSIGN, {"x-request-timeout": "0.5"}, customerEmail=ADA, deviceIdentifiers=["A"])
        assert time.monotonic() - started < 50
    assert (answer.status, answer.error["reason"]) == (504, "ERROR_REASON_DEADLINE_EXCEEDED")
    assert rest(UNASSIGN, customerEmail=ADA, deviceIdentifiers=["A"]).json["unassignedDevices"] == ["A"]


def test_the_request_id_is_returned_and_logged_or_generated(rest: Rest, gateway: Gateway) -> None:
    assert rest(QUERY, {"x-request-id": "mine-1"}, email="a").headers["x-request-id"] == "mine-1"
    eventually(lambda: any(line["x_request_id"] == "mine-1" for line in gateway.requests()))
    made = {
        rest(QUERY, {"x-request-id": given}, email="a").headers["x-request-id"]
        for given in ("", "a b", "x" * 129, "\xe9")
    }
    assert len(made) == 4
    assert all(len(each) == 16 for each in made)


def test_the_call_id_is_the_servers_or_else_the_requests(rest: Rest, gateway: Gateway) -> None:
    served = rest(QUERY, {"x-request-id": "mine-2"}, email=ADA)
    assert served.error["callId"] not in {"mine-2", ""}
    eventually(lambda: any(line.get("call_id") == served.error["callId"] for line in gateway.requests()))
    assert rest(QUERY, {"x-request-id": "mine-3"}, nmae=1).error["callId"] == "mine-3"


def test_an_idempotency_key_is_the_request_id(rest: Rest, tenant: Tenant) -> None:
    tenant.assign(ADA, ["A"])
    first = rest(UNASSIGN, {"idempotency-key": UUID}, customerEmail=ADA, deviceIdentifiers=["A"])
    assert first.json["unassignedDevices"] == ["A"]
    for again in (
        rest(UNASSIGN, {"idempotency-key": f'"{UUID.upper()}"'}, customerEmail=ADA, deviceIdentifiers=["A"]),
        rest(UNASSIGN, customerEmail=ADA, deviceIdentifiers=["A"], requestId=UUID),
        rest(UNASSIGN, {"idempotency-key": UUID}, customerEmail=ADA, deviceIdentifiers=["A"], requestId=UUID),
    ):
        assert again.body == first.body
    other = rest(UNASSIGN, {"idempotency-key": UUID}, customerEmail=ADA, deviceIdentifiers=["A"], requestId="x")
    assert other.fields == ["requestId"]
    assert rest(UNASSIGN, {"idempotency-key": "x"}, customerEmail=ADA, deviceIdentifiers=["A"]).fields == ["requestId"]
    reused = rest(UNASSIGN, {"idempotency-key": UUID}, customerEmail=ADA, deviceIdentifiers=["B"])
    assert (reused.status, reused.error["reason"]) == (400, "ERROR_REASON_REQUEST_ID_REUSED")
    assert rest(QUERY, {"idempotency-key": "reads ignore it"}, email=ADA).status == 200


@pytest.mark.parametrize(
    "name", ["x-api-key", "idempotency-key", "x-request-timeout", "content-type", "content-encoding"]
)
def test_a_header_that_is_used_must_be_given_once(gateway: Gateway, rest: Rest, name: str) -> None:
    usual = {"x-api-key": rest.api_key, "content-type": "application/json"}
    for values in (("", ""), (usual.get(name, "1"), "another"), (usual.get(name, "1"),) * 2):
        lines = [f"{key}: {value}" for key, value in usual.items() if key != name]
        lines += [f"{name}: {value}" for value in values]
        head = [f"POST {PREFIX}{QUERY} HTTP/1.1", "host: x", "connection: close", "content-length: 2", *lines]
        answer = gateway.raw("\r\n".join([*head, "", "{}"]).encode())
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert f"The header {name} must be given once".encode() in answer


def test_every_answer_has_the_security_headers(rest: Rest, gateway: Gateway) -> None:
    for answer in (
        rest(QUERY, email=ADA),
        rest.get("/nothing"),
        gateway.send("GET", "/healthz"),
        gateway.send("PUT", PREFIX + QUERY),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
        assert not any(name.startswith("access-control-") for name in answer.headers)


def test_pages_of_other_origins_may_call_only_if_a_setting_names_them(launch: Launch, server: int) -> None:
    gateway = launch(server, rest_cors_origins="https://a.example https://b.example")
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key,content-type"}
    path = PREFIX + QUERY
    allowed = gateway.send("OPTIONS", path, None, {"origin": "https://b.example", **asking})
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, "https://b.example")
    refused = gateway.send("OPTIONS", path, None, {"origin": "https://c.example", **asking})
    assert refused.status == 400
    assert "access-control-allow-origin" not in refused.headers
    assert refused.json["error"]
    for origin, named in (("https://a.example", "https://a.example"), ("https://c.example", None)):
        error = gateway.send("POST", path, b"{}", {"origin": origin})
        assert (error.status, error.headers.get("access-control-allow-origin")) == (401, named)


def test_head_is_a_get_without_its_body(rest: Rest, tenant: Tenant) -> None:
    tenant.assign(ADA, ["A"])
    path = f"/customer/getCustomer/{rest(QUERY, email=ADA).json['id']}"
    got, head = rest.get(path), rest.get(path, method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", got.headers["content-length"])
    stream = rest.get("/deviceAssignment/watchOperations", method="HEAD")
    assert (stream.status, stream.body, stream.headers["content-type"]) == (200, b"", "text/event-stream")


def test_many_requests_share_a_connection(rest: Rest, gateway: Gateway, tenant: Tenant) -> None:
    tenant.assign(ADA, ["A"])
    connection = gateway.connection()
    for _ in range(3):
        connection.request("POST", PREFIX + QUERY, b'{"email": "ada@example.com"}', {"x-api-key": rest.api_key})
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, True)
        for headers, status in (({}, 401), ({"x-api-key": rest.api_key}, 413)):
            connection.request("POST", PREFIX + QUERY, b"nonsense" * 100_000, headers)
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (status, True)
    connection.close()


def test_rate_and_overload_are_429_with_the_time_to_wait(begin: Begin, launch: Launch, tenant: Tenant) -> None:
    tenant.assign(ADA, ["A"])
    _, port = begin(rate_limit=0.02)
    rest = Rest(launch(port), tenant.api_key)
    assert rest(QUERY, email=ADA).status == 200
    limited = rest(QUERY, email=ADA)
    assert (limited.status, limited.error["reason"]) == (429, "ERROR_REASON_RATE_LIMITED")
    assert 1 <= int(limited.headers["retry-after"]) <= 50
    service, port = begin(threads=1, waiting_calls=0)
    rest = Rest(launch(port), tenant.api_key)
    assert rest(QUERY, email=ADA).status == 200  # the check of the key, which is a call too, comes before the lock
    with held(tenant.database, ADA):
        waiting = threading.Thread(target=lambda: rest(UNASSIGN, customerEmail=ADA, deviceIdentifiers=["A"]))
        waiting.start()
        eventually(lambda: service._server.reception.calls.pending)
        answer = rest("/device/getDevice", identifier="A")
    waiting.join()
    assert (answer.status, answer.error["reason"]) == (429, "ERROR_REASON_OVERLOADED")
    assert answer.headers["retry-after"] == "1"


def test_the_log_has_a_line_for_each_request_and_nothing_secret(launch: Launch, server: int, tenant: Tenant) -> None:
    gateway = launch(server)
    rest = Rest(gateway, tenant.api_key)
    tenant.assign(ADA, ["A"])
    found = rest(QUERY, email=ADA)
    rest(QUERY, email="no e-mail @ all")
    rest.get(f"/customer/getCustomer/{found.json['id']}")
    rest.get("/customers/ada@example.com")
    rest.get("/deviceAssignment/watchOperations?customerEmail=eve@example.com")
    gateway.stop()
    lines = [(line["method"], line.get("path"), line["status"], line.get("reason")) for line in gateway.requests()]
    assert lines == [
        ("POST", PREFIX + QUERY, 200, None),
        ("POST", PREFIX + QUERY, 400, "ERROR_REASON_INVALID_FIELDS"),
        ("GET", f"{PREFIX}/customer/getCustomer/{{telemetron_customer_id}}", 200, None),
        ("GET", None, 404, "ERROR_REASON_UNKNOWN_METHOD"),
        ("GET", f"{PREFIX}/deviceAssignment/watchOperations", 404, "ERROR_REASON_CUSTOMER_NOT_FOUND"),
    ]
    assert all(line["duration_ms"] > 0 for line in gateway.requests())
    for secret in ("@", tenant.api_key, found.json["id"]):
        assert secret not in "".join(gateway.log)
