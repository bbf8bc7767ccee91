"""Wrong requests: a 4xx that names the JSON path and shows nothing internal."""

import json
import socket
from typing import Any

import pytest

from service.rest_gateway.routes import ROUTES
from tests.conftest import Tenant
from tests.rest_gateway.conftest import Launch
from tests.rest_gateway.rest import PREFIX, Gateway, Rest

UNASSIGN = "/deviceAssignment/unassignDevicesFromOwner"
CUSTOMER = "/customer/createOrUpdateCustomer"
BULK = "/device/bulk-metadata"
WATCH = "/deviceAssignment/watchOperations"
EMAIL = '"customerEmail": "ada@example.com"'
SURROGATE = "\\ud800"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON at line 1, column 2"),
        (b'{"a": 1,}', "is not JSON at line 1, column"),
        (b"{'a': 1}", "is not JSON at line 1, column 2"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 01}', "is not JSON"),
        (b'{"a": "\n"}', "is not JSON"),
        (b'{} {"a": 1}', "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b'{"email": "\xff"}', "is not UTF-8 at byte 11"),
        (b'{"email": "\xed\xa0\x80"}', "is not UTF-8 at byte 11"),
        (b"[" * 65 + b"]" * 65, "is nested too deeply"),
        (b"[" * 50_000, "is nested too deeply"),
        (b'{"metadata":' * 20_000, "is nested too deeply"),
        (b'{"a": "' + b"\\u0000" * 3, "is not JSON"),
    ],
)
def test_invalid_json_is_refused_with_its_position(rest: Rest, body: bytes, problem: str) -> None:
    answer = rest.post(UNASSIGN, body)
    assert (answer.status, answer.error["reason"]) == (400, "ERROR_REASON_MALFORMED_REQUEST")
    assert problem in answer.error["error"]


@pytest.mark.parametrize(
    ("path", "body", "field", "problem"),
    [
        (UNASSIGN, "[]", "body", "must be an object"),
        (UNASSIGN, "null", "body", "must be an object"),
        (UNASSIGN, f'{{{EMAIL}, "validateOnyl": true}}', "validateOnyl", "is no field of this request"),
        (UNASSIGN, f'{{{EMAIL}, "a b\\"": 1}}', '["a b\\""]', "is no field of this request"),
        (UNASSIGN, f'{{{EMAIL}, "{SURROGATE}": 1}}', '["�"]', "is no field of this request"),
        (UNASSIGN, f"{{{EMAIL}, {EMAIL}}}", "customerEmail", "must be given once"),
        (UNASSIGN, f'{{{EMAIL}, "customer_email": "b@example.com"}}', "customerEmail", "under one of its names"),
        (UNASSIGN, '{"customerEmail": 1}', "customerEmail", "must be a string"),
        (UNASSIGN, f'{{"customerEmail": "{SURROGATE}"}}', "customerEmail", "half of a surrogate pair"),
        (UNASSIGN, '{"deviceIdentifiers": "A"}', "deviceIdentifiers", "must be an array of strings"),
        (UNASSIGN, '{"deviceIdentifiers": {"0": "A"}}', "deviceIdentifiers", "must be an array of strings"),
        (UNASSIGN, '{"deviceIdentifiers": ["A", 1]}', "deviceIdentifiers[1]", "must be a string"),
        (UNASSIGN, '{"deviceIdentifiers": ["A", null]}', "deviceIdentifiers[1]", "must be a string"),
        (UNASSIGN, f'{{"deviceIdentifiers": ["A", "{SURROGATE}"]}}', "deviceIdentifiers[1]", "surrogate"),
        (UNASSIGN, '{"validateOnly": "true"}', "validateOnly", "must be true or false"),
        (UNASSIGN, '{"validateOnly": 1}', "validateOnly", "must be true or false"),
        (UNASSIGN, '{"remainingView": 1}', "remainingView", 'must be one of "REMAINING_VIEW_UNSPECIFIED", "'),
        (UNASSIGN, '{"remainingView": "FULL"}', "remainingView", "must be one of"),
        ("/device/listDevices", '{"pageSize": "1"}', "pageSize", "must be a whole number"),
        ("/device/listDevices", '{"pageSize": true}', "pageSize", "must be a whole number"),
        ("/device/listDevices", '{"pageSize": 1.5}', "pageSize", "must be a whole number"),
        ("/device/listDevices", '{"pageSize": 2147483648}', "pageSize", "must be a number between"),
        ("/device/listDevices", f'{{"pageSize": {"9" * 10_000}}}', "pageSize", "must be a number between"),
        ("/device/listDevices", '{"pageSize": 1e999}', "pageSize", "must be a whole number"),
        ("/device/listDevices", '{"pageSize": -1}', "pageSize", "must not be negative"),
        ("/deviceAssignment/lookupOwners", '{"at": 1}', "at", "must be a time"),
        ("/deviceAssignment/lookupOwners", '{"at": "2030-02-30T00:00:00Z"}', "at", "must be a time"),
        ("/deviceAssignment/lookupOwners", '{"at": "2030-01-01"}', "at", "must be a time"),
        ("/deviceAssignment/lookupOwners", '{"at": "0001-01-01T00:00:00+01:00"}', "at", "must be a"),
        ("/deviceAssignment/lookupOwners", '{"at": "٢٠٣٠-01-01T00:00:00Z"}', "at", "must be a time"),
        (CUSTOMER, '{"metadata": []}', "metadata", "must be an object"),
        (CUSTOMER, '{"metadata": {"a": [0, 9007199254740992]}}', "metadata.a[1]", "2^53"),
        (CUSTOMER, '{"metadata": {"a": 9007199254740993}}', "metadata.a", "2^53"),
        (CUSTOMER, '{"metadata": {"a": -9007199254740993.0}}', "metadata.a", "2^53"),
        (CUSTOMER, f'{{"metadata": {{"a": {"1" * 5_000}}}}}', "metadata.a", "2^53"),
        (CUSTOMER, '{"metadata": {"a": 1e999}}', "metadata.a", "2^53"),
        (CUSTOMER, '{"metadata": {"a": {"b": 1, "b": 2}}}', "metadata.a.b", "must be given once"),
        (CUSTOMER, '{"email": "a@example.com", "metadata": {"a": "\\u0000"}}', "metadata", "U+0000"),
        (CUSTOMER, f'{{"metadata": {{"{SURROGATE}": 1}}}}', 'metadata["�"]', "surrogate"),
        (CUSTOMER, f'{{"metadata": {{"a": "{SURROGATE}"}}}}', "metadata.a", "surrogate"),
        (CUSTOMER, f'{{"metadata": {{"a": {"[" * 32}{"]" * 32}}}}}', "metadata.a" + "[0]" * 31, "at most 32 levels"),
        (BULK, '{"devices": [{"identifier": "A", "metadata": {}}]}', "devices", "must be an object"),
        (BULK, '{"devices": {"A": {}, "A": {}}}', "devices.A", "must be given once"),
        (BULK, '{"devices": {"A": {}, " A": {}}}', 'devices[" A"]', "must be given once"),
        (BULK, '{"devices": {"A": null}}', "devices.A", "must be an object"),
        (BULK, '{"devices": {"A": {"n": 1e16}}}', "devices.A.n", "2^53"),
        (BULK, '{"devices": {"A": {}, "": {}}}', 'devices[""]', "is required"),
        (BULK, '{"devices": {"A": {}, "B C": {"a": "\\u0000"}}}', 'devices["B C"]', "U+0000"),
        (BULK, "{}", "devices", "must name at least one device"),
    ],
)
def test_a_wrong_field_is_named_by_its_json_path(rest: Rest, path: str, body: str, field: str, problem: str) -> None:
    answer = rest.post(path, body.encode())
    assert answer.error["reason"] == "ERROR_REASON_INVALID_FIELDS"
    found = {violation["field"]: violation["description"] for violation in answer.error["violations"]}
    assert problem in found[field]


def test_an_error_lists_up_to_twenty_violations(rest: Rest) -> None:
    answer = rest(UNASSIGN, customerEmail=1, deviceIdentifiers=list(range(50)), requestId=False)
    assert len(answer.fields) == 20
    assert answer.fields[:2] == ["customerEmail", "deviceIdentifiers[0]"]
    assert answer.error["violationsOmitted"] == 1
    assert answer.error["error"].endswith("deviceIdentifiers[1]: must be a string; and at least 18 more")
    few = rest(UNASSIGN, customerEmail=1, deviceIdentifiers=list(range(19)))
    assert len(few.fields) == 20
    assert "violationsOmitted" not in few.error
    assert few.error["error"].endswith("deviceIdentifiers[1]: must be a string; and 17 more")
    answer = rest(UNASSIGN, customerEmail="ada@example.com", deviceIdentifiers=[" "] * 50)
    assert (len(answer.fields), answer.error["violationsOmitted"]) == (20, 30)


def test_null_is_the_same_as_absent_and_proto_names_are_accepted(rest: Rest, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    answer = rest(
        UNASSIGN,
        customer_email="ada@example.com",
        deviceIdentifiers=["A"],
        note=None,
        remainingView=None,
        request_id=None,
    )
    assert answer.json["unassignedDevices"] == ["A"]


def test_numbers_texts_and_objects_are_stored_unchanged(rest: Rest) -> None:
    metadata: Any = {
        "whole": 9007199254740991,
        "less": -9007199254740991,
        "part": 0.1,
        "small": 5e-324,
        "text": 'ü \U0001f600 \u2028 " \\ </script>',
        "": {"list": [None, True, False, [], {}, "x"]},
        "é": 1,
    }
    made = rest(CUSTOMER, email="ada@example.com", metadata=metadata).json
    read = rest.get(f"/customer/getCustomer/{made['telemetronCustomerId']}").json
    assert read["metadata"] == metadata


def test_a_wrong_content_type_is_415(rest: Rest) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "json"):
        assert rest.post(UNASSIGN, b"{}", {"content-type": kind}).error["reason"] == "ERROR_REASON_MALFORMED_REQUEST"
        assert rest.post(UNASSIGN, b"{}", {"content-type": kind}).status == 415
    assert rest.post(UNASSIGN, b"{}", {"content-encoding": "gzip"}).status == 415
    for kind in ("application/json", "Application/JSON; Charset=UTF-8", 'application/json;charset="utf-8"'):
        assert rest.post(UNASSIGN, b"{}", {"content-type": kind}).status == 400


def test_a_body_over_the_limit_is_413_with_and_without_a_declared_length(
    launch: Launch, server: int, tenant: Tenant
) -> None:
    rest = Rest(launch(server, rest_max_body_bytes="2000"), tenant.api_key)
    fits = json.dumps({"email": "ada@example.com", "name": ""}).encode().ljust(2000)
    assert rest.post(CUSTOMER, fits).status == 200
    answer = rest.post(CUSTOMER, fits + b" ")
    assert (answer.status, answer.error["reason"]) == (413, "ERROR_REASON_MALFORMED_REQUEST")
    assert "2000 bytes" in answer.error["error"]
    assert rest.post(CUSTOMER, b" " * 5_000_000).status == 413
    connection = rest.gateway.connection()
    connection.request("POST", PREFIX + CUSTOMER, iter([b" " * 1000] * 100), {"x-api-key": rest.api_key})
    assert connection.getresponse().status == 413
    connection.close()


def test_a_call_that_is_too_big_for_the_server_is_413(rest: Rest) -> None:
    answer = rest(UNASSIGN, customerEmail="ada@example.com", deviceIdentifiers=["x" * 250] * 20_000)
    assert (answer.status, answer.error["reason"]) == (413, "ERROR_REASON_MALFORMED_REQUEST")


def test_an_unknown_path_is_404_and_a_wrong_method_is_405(rest: Rest, gateway: Gateway) -> None:
    for path in ("/", "/api", PREFIX, f"{PREFIX}{UNASSIGN}/", f"{PREFIX}/customer/getCustomer/", "/%ff/%00"):
        answer = gateway.send("GET", path)
        assert (answer.status, answer.error["reason"]) == (404, "ERROR_REASON_UNKNOWN_METHOD")
    for route in ROUTES:
        path = PREFIX + route.path.replace("{telemetron_customer_id}", "x")
        wrong = "DELETE" if route.http_method == "GET" else "GET"
        answer = gateway.send(wrong, path)
        assert (answer.status, answer.error["reason"]) == (405, "ERROR_REASON_UNKNOWN_METHOD")
        allowed = {"GET", "HEAD", "OPTIONS"} if route.http_method == "GET" else {"POST", "OPTIONS"}
        assert set(answer.headers["allow"].split(", ")) == allowed
        asked = gateway.send("OPTIONS", path)
        assert (asked.status, asked.body, asked.headers["allow"]) == (204, b"", answer.headers["allow"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?afetr=x", "afetr"),
        ("?fromNow=1", "fromNow"),
        ("?fromNow=", "fromNow"),
        ("?fromNow=true&from_now=true", "fromNow"),
        ("?after=a&after=b", "after"),
        ("?after=%ff", "query"),
        ("?customerEmail=nobody", "customerEmail"),
        ("?after=nonsense", "after"),
    ],
)
def test_a_wrong_query_is_named(rest: Rest, query: str, field: str) -> None:
    assert field in rest.get(WATCH + query).fields


def test_an_unknown_query_parameter_is_named(rest: Rest) -> None:
    assert rest(f"{UNASSIGN}?validateOnly=true").fields == ["validateOnly"]
    assert rest.get("/customer/getCustomer/x?a=1").fields == ["a"]
    assert rest.get("/customer/getCustomer/x?telemetron_customer_id=y").fields == ["telemetron_customer_id"]
    assert rest.get("/customer/getCustomer/%00%e2%82%ac").status == 404


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nbad header\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 600_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a:b\r\n" * 100 + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 17_000 + b"\r\n\r\n",
        b"\r\n" * 1_000 + b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\na: " + b"b" * 600_000 + b"\r\n\r\n",
    ],
)
def test_input_that_is_not_http_is_400_and_the_connection_is_closed(gateway: Gateway, sent: bytes) -> None:
    head, _, body = gateway.raw(sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head
    assert json.loads(body)["error"]
    assert gateway.send("GET", "/healthz").status == 200


def test_a_request_that_offers_an_upgrade_to_http_2_keeps_its_body(gateway: Gateway, rest: Rest) -> None:
    """Java's client offers the upgrade with every request."""
    body = b'{"deviceIdentifiers": ["SN-1"], "unknown": 1}'
    head = (
        "POST /api/ext-v1/deviceAssignment/lookupOwners HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"x-api-key: {rest.api_key}\r\n"
        "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    # A second request, which ends the connection, shows that the body was not parsed as a request.
    last = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = gateway.raw(head.encode() + body + last)
    assert b'"unknown"' in answer
    assert answer.count(b"HTTP/1.1 400 ") == 1
    assert answer.count(b"HTTP/1.1 200 ") == 1


def test_a_head_that_does_not_end_is_400(gateway: Gateway) -> None:
    answer = gateway.raw(b"GET / HTTP/1.1\r\na: " + b"b" * 600_000)
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "target", ["http://x/healthz", "HTTP://user@x:8080/healthz?", "https://[::1]:80/healthz", "/healthz"]
)
def test_a_target_in_absolute_form_is_served(gateway: Gateway, target: str) -> None:
    answer = gateway.raw(f"GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_target_in_absolute_form_has_its_path_and_query(gateway: Gateway, rest: Rest) -> None:
    for target, status in (
        (f"http://x{PREFIX}/customer/getCustomer/a%2Fb", b"404"),
        (f"http://x{PREFIX}/customer/getCustomer/a?b=1", b"400"),
        ("http://x", b"404"),
        ("http://x?a=/healthz", b"404"),
        ("http:/healthz", b"404"),
        ("ftp://x/healthz", b"404"),
    ):
        lines = [f"GET {target} HTTP/1.1", "host: x", f"x-api-key: {rest.api_key}", "connection: close", "\r\n"]
        assert gateway.raw("\r\n".join(lines).encode()).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("blank", [b"\r\n", b"\n"])
def test_a_blank_line_in_front_of_a_request_is_ignored(gateway: Gateway, rest: Rest, blank: bytes) -> None:
    """Also after a body, where old clients send an additional one."""
    lines = f"POST {PREFIX}/device/getDevice HTTP/1.1\r\nhost: x\r\nx-api-key: {rest.api_key}\r\n"
    post = f"{lines}content-length: 2\r\n\r\n{{}}".encode()
    last = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = gateway.raw(blank + post + blank + post + blank + last)
    assert (answer.count(b"HTTP/1.1 400 "), answer.count(b"HTTP/1.1 200 ")) == (2, 1)
    with socket.create_connection(("127.0.0.1", gateway.port), 30) as connection:
        for byte in blank + b"GET /healthz HTTP/1.1\r\n\r\n":
            connection.sendall(bytes([byte]))
        assert connection.recv(12) == b"HTTP/1.1 400"  # it has no host
