"""The OpenAPI document: valid, complete, true, and served."""

import json
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012

import tools.openapi.__main__
from service.domain import identifiers
from service.rest_gateway import http_error
from service.rest_gateway.routes import ROUTES
from tests import fresh
from tests.rest_gateway.rest import Gateway, Rest
from tools.openapi import comments, document, files

DOCUMENT = document.build(files.version())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS: dict[str, Any] = {
    operation["operationId"]: {**operation, "path": path, "method": method}
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
CALLS = [route.method.name for route in ROUTES]


def test_it_is_valid() -> None:
    validate(DOCUMENT)


def test_it_is_served_and_not_sent_twice(gateway: Gateway) -> None:
    answer = gateway.send("GET", "/openapi.json")
    assert answer.json == DOCUMENT
    assert answer.json["info"]["version"] == metadata.version("device-assignment")
    again = gateway.send("GET", "/openapi.json", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    other = gateway.send("GET", "/openapi.json", headers={"if-none-match": '"another"'})
    assert (other.status, other.body) == (200, answer.body)


@pytest.mark.process
def test_the_files_are_out_of_date_when_the_version_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "version", lambda: "9.9.9")
    stale = fresh.stale_generated()
    assert stale == ["deviceassignment/v1/docs.html", "deviceassignment/v1/openapi.json"]


@pytest.mark.process
def test_a_call_without_an_example_is_named_by_make_proto_and_make_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = json.loads(document.EXAMPLES.read_bytes())
    examples["calls"] = [call for call in examples["calls"] if call["rpc"] != "GetDevice"]
    changed = tmp_path / "examples.json"
    changed.write_text(json.dumps(examples), encoding="utf-8")
    monkeypatch.setattr(document, "EXAMPLES", changed)
    monkeypatch.setattr(sys, "argv", ["tools.openapi", str(tmp_path)])
    expected = "GetDevice: no example in tools/openapi/examples.json; add one"
    with pytest.raises(SystemExit, match=expected):
        tools.openapi.__main__.main()
    with pytest.raises(document.DocumentError, match=expected):
        fresh.stale_generated()


def test_every_route_is_described_under_its_rpcs_name() -> None:
    described = {(OPERATIONS[name]["method"].upper(), OPERATIONS[name]["path"]) for name in CALLS}
    assert described == {
        (r.http_method, r.full_path.replace("telemetron_customer_id", "telemetronCustomerId")) for r in ROUTES
    }
    assert set(OPERATIONS) == {*CALLS, "Live", "Ready"}


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yields every text for people with its path."""
    match value:
        case dict():
            for name, item in value.items():
                if name in {"description", "summary"} and isinstance(item, str):
                    yield f"{path}.{name}", item
                elif name not in {"example", "examples"}:
                    yield from texts(item, f"{path}.{name}")
        case list():
            for index, item in enumerate(value):
                yield from texts(item, f"{path}[{index}]")


def test_its_texts_have_the_names_of_rest() -> None:
    statuses = "|".join(http_error.STATUSES)
    foreign = re.compile(
        rf"`({statuses})`|(?i:google|grpc|protobuf|\bproto\b)|metadata `|As in `|`[a-z]+(_[a-z]+)+`|`OK`"
    )
    found = [(path, text) for path, text in texts(DOCUMENT) if foreign.search(text)]
    assert [path for path, _ in found] == [".components.schemas.DeviceMetadataResult.properties.status.description"]


def test_every_schema_and_every_field_is_described() -> None:
    for name, schema in SCHEMAS.items():
        assert schema["description"], name
        for field, described in schema.get("properties", {}).items():
            assert described.get("description"), f"{name}.{field}"


def test_each_replaced_comment_is_in_the_protos() -> None:
    assert set(comments.REPLACED) <= set(comments.read())


def test_requests_have_no_unknown_fields_and_answers_have_all_their_fields() -> None:
    for name, schema in SCHEMAS.items():
        if name.endswith("Request"):
            assert schema["additionalProperties"] is False
        if name.endswith("Response"):
            assert set(schema["properties"]) - set(schema["required"]) <= {"phone", "address"}
    assert SCHEMAS["UnassignAllDevicesRequest"]["required"] == ["customerEmail", "expectedCount"]
    assert "required" not in SCHEMAS["ListOperationsRequest"]


def agrees(schema: dict[str, Any], value: Any) -> None:
    """Validates a value against a schema of the document."""
    resource = DRAFT202012.create_resource(DOCUMENT)
    registry: Registry[Any] = Registry().with_resource("urn:document", resource)
    moved = json.loads(json.dumps(schema).replace('"#/components', '"urn:document#/components'))
    OAS31Validator(moved, registry=registry, format_checker=OAS31Validator.FORMAT_CHECKER).validate(value)


@pytest.mark.parametrize("name", CALLS)
def test_examples_of_calls_agree_with_their_schemas(name: str) -> None:
    operation = OPERATIONS[name]
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        agrees(content["schema"], content["example"])
        with pytest.raises(Exception, match="nonsense"):
            agrees(content["schema"], {**content["example"], "nonsense": 1})
    [answer] = operation["responses"]["200"]["content"].values()
    agrees(answer["schema"], answer["example"])
    if (data := answer["schema"].get("properties", {}).get("data")) is not None:
        agrees(data["contentSchema"], json.loads(answer["example"]["data"]))


def test_examples_of_errors_agree_with_their_schema() -> None:
    for failure in DOCUMENT["components"]["responses"].values():
        for example in failure["content"]["application/json"]["examples"].values():
            agrees(SCHEMAS["Error"], example["value"])
            assert set(example["value"]) <= set(SCHEMAS["Error"]["properties"])


def test_the_errors_of_a_call_are_those_that_it_can_end_with() -> None:
    def codes(name: str) -> str:
        return " ".join(OPERATIONS[name]["responses"])

    assert codes("UnassignDevices") == "200 400 401 403 404 408 409 413 415 429 500 503 504"
    assert codes("LookupOwners") == "200 400 401 403 408 413 415 429 500 503 504"
    assert codes("GetCustomer") == "200 400 401 403 404 429 500 503 504"
    assert codes("WatchOperations") == "200 400 401 403 404 429 500 503 504"
    assert codes("Live") == "200"


@given(st.text(max_size=6) | st.text("a \t\n\x00\x1f\x7f\x85\xa0\u2028\u3000\ufeff", max_size=4))
def test_an_identifier_is_valid_in_the_schema_if_the_server_accepts_it(text: str) -> None:
    # In JSON Schema `$` matches only at the end; in Python also before a last newline.
    pattern = SCHEMAS["DeviceIdentifier"]["pattern"].removesuffix("$") + r"\Z"
    schema = {**SCHEMAS["DeviceIdentifier"], "minLength": 1, "pattern": pattern}
    assert OAS31Validator(schema).is_valid(text) == (identifiers.problem(text) is None)
    assert SCHEMAS["DeviceIdentifier"]["maxLength"] == identifiers.MAX_CHARACTERS


MEMBERS = [
    (name, field, schema.get("maxItems") or schema["maxProperties"])
    for name in CALLS
    for field, schema in SCHEMAS.get(f"{name}Request", {}).get("properties", {}).items()
    if "maxItems" in schema or "maxProperties" in schema
]


@pytest.mark.parametrize(("name", "field", "most"), MEMBERS)
def test_the_server_accepts_as_many_members_as_the_schema(rest: Rest, name: str, field: str, most: int) -> None:
    operation = OPERATIONS[name]
    path = operation["path"].removeprefix("/api/ext-v1")
    rest("/customer/createOrUpdateCustomer", email="ada@example.com")

    def reason(count: int) -> str:
        members = [f"{n}@example.com" if field == "customerEmails" else f"SN-{n}" for n in range(count)]
        request = dict(operation["requestBody"]["content"]["application/json"]["example"])
        request[field] = {key: {} for key in members} if field == "devices" else members
        if "validateOnly" in SCHEMAS[f"{name}Request"]["properties"]:
            request["validateOnly"] = True
        answer = rest(path, **request)
        return "" if answer.status == 200 else str(answer.error["reason"])

    assert reason(most) != "ERROR_REASON_INVALID_FIELDS"
    assert reason(most + 1) == reason(0) == "ERROR_REASON_INVALID_FIELDS"


def test_every_limit_of_a_list_is_in_the_schema() -> None:
    assert [(name, most) for name, _, most in MEMBERS] == [
        ("UnassignDevices", 100_000),
        ("AssignDevices", 20_000),
        ("AssignDevice", 1_000),
        ("TransferDevices", 100_000),
        ("LookupOwners", 1_000),
        ("BulkUpdateDeviceMetadata", 1_000),
    ]
    lengths = {
        f"{name}.{field}": schema["maxLength"]
        for name, described in SCHEMAS.items()
        if name.endswith("Request")
        for field, schema in described["properties"].items()
        if "maxLength" in schema
    }
    assert lengths == {
        "UnassignDevicesRequest.note": 500,
        "UnassignDeviceRequest.note": 500,
        "AssignDevicesRequest.deviceType": 255,
        "AssignDevicesRequest.note": 500,
        "AssignDeviceRequest.deviceType": 255,
        "AssignDeviceRequest.note": 500,
        "TransferDevicesRequest.note": 500,
        "UnassignAllDevicesRequest.note": 500,
        "RevertOperationRequest.note": 500,
        "CreateOrUpdateCustomerRequest.name": 255,
        "CreateOrUpdateCustomerRequest.phone": 255,
        "CreateOrUpdateCustomerRequest.address": 1_000,
        "CreateOrUpdateDeviceRequest.type": 255,
    }
