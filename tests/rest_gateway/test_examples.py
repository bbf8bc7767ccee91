"""The gateway answers as in the examples of the OpenAPI document."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from service.domain import errors
from service.grpc_client.failure import CallFailed
from service.rest_gateway import call_errors
from service.rest_gateway import errors as gateway_errors
from service.rest_gateway.routes import PREFIX, ROUTES
from tests.conftest import Tenant
from tests.rest_gateway.conftest import Begin, Launch
from tests.rest_gateway.rest import Answer, EventStream, Rest
from tools.openapi import document

EXAMPLES = json.loads(document.EXAMPLES.read_bytes())
CALLS = EXAMPLES["calls"]
ERRORS = {name: error for errors in EXAMPLES["errors"].values() for name, error in errors.items()}
PATHS = {route.method.name: (route.http_method, route.path) for route in ROUTES}

_ID = re.compile(r"(cust|dev|op|org|key|rev)_[0-9a-z]+(_\d+)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


class Names:
    """The real ids for the ids of the examples."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def real(self, value: Any) -> Any:
        """Replaces the ids of the examples by the real ids."""
        match value:
            case dict():
                return {name: self.real(item) for name, item in value.items()}
            case str():
                return self._real.get(value, value)
        return value

    def compare(self, example: Any, real: Any) -> None:
        """Compares an answer with its example, except ids, times and tokens."""
        match example:
            case dict():
                assert list(example) == list(real)
                for name, item in example.items():
                    if name.endswith("Token"):
                        assert bool(item) == bool(real[name])
                    else:
                        self.compare(item, real[name])
            case list():
                assert len(example) == len(real)
                for one, other in zip(example, real, strict=True):
                    self.compare(one, other)
            case str() if found := _ID.fullmatch(example):
                assert real.startswith(f"{found[1]}_")
                assert self._real.setdefault(example, real) == real
            case str() if _TIME.fullmatch(example):
                assert _TIME.fullmatch(real)
            case _:
                assert example == real


def test_every_call_answers_like_its_example(rest: Rest) -> None:
    """The calls are made in the order of the examples, because they depend on each other."""
    names = Names()
    assert {call["rpc"] for call in CALLS} == set(PATHS)
    for call in CALLS:
        method, path = PATHS[call["rpc"]]
        request = names.real(call["request"])
        if call["rpc"] == "WatchOperations":
            stream = EventStream(rest)
            stream.begin()
            event = stream.next()
            stream.close()
            assert event is not None
            names.compare(call["answer"], event.data)
        elif method == "GET":
            names.compare(call["answer"], rest.get(path.replace("{telemetron_customer_id}", *request.values())).json)
        else:
            names.compare(call["answer"], rest(path, **request).json)


@pytest.fixture
def ada(rest: Rest) -> Rest:
    """A customer with three devices."""
    rest(
        "/deviceAssignment/assignDevicesToOwner",
        customerEmail="ada@example.com",
        deviceIdentifiers=["SN-1", "SN-2", "SN-3"],
        autoCreateDevices=True,
        deviceType="thermostat",
    )
    return rest


def expect(name: str, answer: Answer) -> None:
    """Compares an error with its example, and its status with that of the example."""
    status = next(status for status, errors in EXAMPLES["errors"].items() if name in errors)
    assert (str(answer.status), {**answer.error, "callId": ""}) == (status, {**ERRORS[name], "callId": ""})


def unassign(rest: Rest, *identifiers: str, **options: Any) -> Answer:
    """Unassigns devices from the customer."""
    return rest(
        "/deviceAssignment/unassignDevicesFromOwner",
        **{"customerEmail": "ada@example.com", "deviceIdentifiers": identifiers, **options},
    )


def test_errors_of_requests_are_like_their_examples(ada: Rest) -> None:
    expect("invalidFields", unassign(ada, "SN-1", " SN-2", customerEmail=""))
    expect("unknownField", unassign(ada, "SN-1", validateonly=True))
    expect("notJson", ada.post("/device/getDevice", b'{"identifier": SN-1}'))
    wanted = {"x-api-key": ada.api_key, "content-type": "text/plain"}
    expect("notJsonByItsWord", ada.gateway.send("POST", f"{PREFIX}/device/getDevice", b"{}", wanted))
    expect("tooLong", ada.post("/deviceAssignment/unassignDevicesFromOwner", b" " * (10 * 1024 * 1024 + 1)))
    expect("tooManyValues", unassign(ada, *["1"] * 101_000))
    late = {"x-api-key": ada.api_key, "content-length": "3", "x-request-timeout": "0.2"}
    expect("bodyTooSlow", ada.gateway.send("POST", f"{PREFIX}/device/getDevice", b"{}", late))
    expect("unknownPath", ada.get("/nothing"))
    expect("wrongMethod", ada.get("/device/getDevice"))


def test_errors_of_calls_are_like_their_examples(ada: Rest, tenant: Tenant) -> None:
    expect("devicesSkipped", unassign(ada, "SN-1", "SN-9999", requireAll=True))
    one: Any = {"customerEmail": "ada@example.com", "deviceIdentifier": "SN-9999"}
    expect("deviceNotAssigned", ada("/deviceAssignment/unassignDeviceFromOwner", **one))
    every: Any = {"customerEmail": "ada@example.com", "expectedCount": 2}
    expect("countDiffers", ada("/deviceAssignment/unassignAllDevices", **every))
    request_id = "6f1c1b1e-3c53-4b5e-9f0c-0a4a6f3e8d11"
    unassign(ada, "SN-1", requestId=request_id)
    expect("requestIdReused", unassign(ada, "SN-2", requestId=request_id))
    expect("revisionMoved", unassign(ada, "SN-2", expectedRevision="rev_old_1"))
    expect("emailTaken", ada("/customer/createOrUpdateCustomer", email="ada@example.com"))
    expect("apiKeyInvalid", unassign(Rest(ada.gateway, "dak_wrong"), "SN-2"))
    expect("scopeMissing", unassign(Rest(ada.gateway, tenant.key("devices:read")[0][1]), "SN-2"))
    expect("customerNotFound", ada("/customer/queryCustomer", email="eve@example.com"))
    expect("deviceNotFound", ada("/device/getDevice", identifier="SN-9999"))
    expect("operationNotFound", ada("/deviceAssignment/getOperation", operationId="op_none"))


def test_errors_of_overload_and_unavailability_are_like_their_examples(
    begin: Begin, launch: Launch, tenant: Tenant
) -> None:
    service, port = begin(rate_limit=0.02)
    rest = Rest(launch(port), tenant.api_key)
    answers = [rest("/device/getDevice", identifier="SN-9999") for _ in range(20)]
    limited = next(answer for answer in answers if answer.status == 429)
    expect("rateLimited", limited)
    assert int(limited.headers["retry-after"]) >= 1
    service.stop()
    expect("serviceAway", rest("/device/getDevice", identifier="SN-9999"))


def test_the_error_of_full_memory_is_like_its_example() -> None:
    refused = gateway_errors.out_of_memory()
    assert "gatewayFull" in EXAMPLES["errors"][str(refused.status)]
    assert json.loads(refused.body(ERRORS["gatewayFull"]["callId"])) == ERRORS["gatewayFull"]


@pytest.mark.parametrize(
    ("name", "code", "error"),
    [
        ("conflict", "ABORTED", errors.Conflict()),
        ("overloaded", "RESOURCE_EXHAUSTED", errors.Overloaded()),
        ("defect", "INTERNAL", errors.InternalError()),
        ("databaseAway", "UNAVAILABLE", errors.DatabaseUnavailable()),
        ("outcomeUnknown", "UNAVAILABLE", errors.OutcomeUnknown()),
        ("deadline", "DEADLINE_EXCEEDED", errors.DeadlineExceeded()),
    ],
)
def test_errors_that_are_rare_are_like_their_examples(name: str, code: str, error: errors.ServiceError) -> None:
    made = call_errors.from_call(CallFailed(code, error.text, error.reason, {"call_id": ERRORS[name]["callId"]}))
    assert name in EXAMPLES["errors"][str(made.status)]
    assert json.loads(made.body("")) == ERRORS[name]


def test_every_error_has_an_example_that_is_tested() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in ERRORS if f'"{name}"' not in text] == []
