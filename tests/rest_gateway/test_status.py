"""The HTTP statuses of the server's errors."""

import time
from collections.abc import Callable
from typing import Any

import grpc

from service.domain import errors
from service.grpc_server.status import to_status
from tests.conftest import Tenant
from tests.grpc_server.conftest import eventually
from tests.rest_gateway.conftest import Begin, Launch, Scripted
from tests.rest_gateway.rest import KEY, PREFIX, Gateway, Rest

ADA = "ada@example.com"
UNASSIGN = "/deviceAssignment/unassignDevicesFromOwner"


def error_of(answer: Any) -> tuple[int, str]:
    return answer.status, answer.error["reason"].removeprefix("ERROR_REASON_")


def abort(status: grpc.Status) -> Callable[[grpc.ServicerContext], None]:
    return lambda context: context.abort_with_status(status)


def test_each_error_has_its_status(rest: Rest, gateway: Gateway, tenant: Tenant) -> None:
    tenant.assign(ADA, ["A"])
    single = "/deviceAssignment/unassignDeviceFromOwner"
    operation = "/deviceAssignment/getOperation"
    customer = "/customer/createOrUpdateCustomer"
    wanted: dict[str, Any] = {"customerEmail": ADA, "deviceIdentifiers": ["A"]}
    assert error_of(rest(UNASSIGN)) == (400, "INVALID_FIELDS")
    assert error_of(rest(single, customerEmail=ADA, deviceIdentifier="B")) == (400, "DEVICE_NOT_ASSIGNED")
    assert error_of(rest(UNASSIGN, customerEmail="eve@example.com", deviceIdentifiers=["A"])) == (
        404,
        "CUSTOMER_NOT_FOUND",
    )
    assert error_of(rest("/device/getDevice", identifier="B")) == (404, "DEVICE_NOT_FOUND")
    assert error_of(rest(operation, operationId="op_1")) == (404, "OPERATION_NOT_FOUND")
    assert error_of(rest(customer, email=ADA)) == (409, "EMAIL_TAKEN")
    assert error_of(rest(UNASSIGN, **wanted, expectedRevision="rev_1")) == (409, "REVISION_MOVED")
    stranger = Rest(gateway, "da_00000000_" + "0" * 40)
    assert error_of(stranger(UNASSIGN, **wanted)) == (401, "API_KEY_INVALID")
    assert "the header x-api-key" in stranger(UNASSIGN, **wanted).error["error"]
    keyless = gateway.send("POST", PREFIX + UNASSIGN, b"{}")
    assert error_of(keyless) == (401, "API_KEY_INVALID")
    reader = Rest(gateway, tenant.key("assignments:read")[0][1])
    refused = reader(UNASSIGN, **wanted)
    assert error_of(refused) == (403, "SCOPE_MISSING")
    assert refused.error["scope"] == "assignments:write"


def test_rare_errors_have_their_status(scripted: Scripted) -> None:
    rest = Rest(scripted.gateway, KEY)
    for error, status, retry_after in (
        (errors.DatabaseUnavailable(), 503, "1"),
        (errors.Stopping(), 503, "1"),
        (errors.Conflict(), 409, "1"),
        (errors.RateLimited(retry_after_seconds=2.001), 429, "3"),
        (errors.InternalError(), 500, None),
        (errors.Cancelled(), 499, None),
        (errors.DeadlineExceeded(), 504, None),
        (errors.UnknownMethod(), 404, None),
    ):
        scripted.answer = abort(to_status(error, "call-1"))
        answer = rest(UNASSIGN)
        assert (answer.status, answer.error["reason"]) == (status, error.reason)
        assert answer.headers.get("retry-after") == retry_after
        assert (answer.error["callId"], "call_id" in answer.error["error"]) == ("call-1", False)


def test_texts_of_grpc_itself_are_not_passed_on(scripted: Scripted) -> None:
    rest = Rest(scripted.gateway, KEY)
    for code, status in (
        (grpc.StatusCode.UNKNOWN, 500),
        (grpc.StatusCode.INTERNAL, 500),
        (grpc.StatusCode.INVALID_ARGUMENT, 500),
        (grpc.StatusCode.CANCELLED, 503),
        (grpc.StatusCode.UNAVAILABLE, 503),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
        (grpc.StatusCode.UNIMPLEMENTED, 404),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504),
    ):
        scripted.answer = lambda context, c=code: context.abort(c, "grpc of Python at 127.0.0.1: SQL")  # type: ignore[misc]  # mypy cannot type a default
        assert rest(UNASSIGN).error["error"]
        assert rest(UNASSIGN).status == status


def test_an_answer_that_cannot_be_parsed_is_500_and_logged(scripted: Scripted) -> None:
    gateway = scripted.gateway
    scripted.bytes = b"\xff"
    answer = Rest(gateway, KEY)(UNASSIGN, headers={"x-request-id": "mine"})
    assert (answer.status, answer.error["reason"]) == (500, "ERROR_REASON_INTERNAL")
    assert answer.error["callId"] == "mine"
    eventually(lambda: any(e["event"] == "defect" and e["x_request_id"] == "mine" for e in gateway.events))


def test_a_stopped_server_is_503_and_not_ready_until_it_is_restarted(
    begin: Begin, launch: Launch, tenant: Tenant
) -> None:
    service, port = begin()
    gateway = launch(port)
    rest = Rest(gateway, tenant.api_key)

    def ready() -> int:
        return gateway.send("GET", "/readyz").status

    assert ready() == 200
    service.stop()
    answer = rest(UNASSIGN, customerEmail=ADA, deviceIdentifiers=["A"])
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "reason" not in answer.error
    error = gateway.send("GET", "/readyz").error
    assert (error["error"], error["away"]) == ("The service is not ready: the server cannot be reached", "server")
    assert (ready(), gateway.send("GET", "/healthz").status) == (503, 200)
    assert any("UNAVAILABLE" in line.get("cause", "") for line in gateway.requests())
    begin(f"127.0.0.1:{port}")
    eventually(lambda: ready() == 200)
    assert rest(UNASSIGN, customerEmail=ADA, deviceIdentifiers=["A"]).status == 404


def test_a_gateway_whose_server_never_started_is_503(launch: Launch) -> None:
    gateway = launch(1)
    started = time.monotonic()
    assert gateway.send("GET", "/readyz").status == 503
    assert gateway.send("GET", "/healthz").json == {"status": "live"}
    answer = Rest(gateway, KEY)(UNASSIGN)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert time.monotonic() - started < 50
