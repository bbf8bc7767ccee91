"""The error of each wrong input: INVALID_ARGUMENT, with the path of every field that is wrong."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.conftest import Tenant, failure
from tests.grpc_server.api.client import ADA, BOB, Api

ONE = {"device_identifiers": ["A"]}
TYPED = {"auto_create_devices": True, "device_type": "lamp"}
LONG = "x" * 256
NO_MOMENT = Timestamp(seconds=253_402_300_800)
NO_NANOS = Timestamp(nanos=1_000_000_000)

CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("UnassignDevice", {}, ["customer_email", "device_identifier"]),
    ("UnassignDevice", {"customer_email": "ada", "device_identifier": " A"}, ["customer_email", "device_identifier"]),
    ("UnassignDevice", {"customer_email": ADA, "device_identifier": "A", "remaining_view": 9}, ["remaining_view"]),
    ("AssignDevices", {}, ["device_identifiers", "customer_email"]),
    ("AssignDevices", {"customer_email": "@", **ONE}, ["customer_email"]),
    (
        "AssignDevices",
        {"customer_email": ADA, "device_identifiers": ["A", "", "b\t", LONG, "c "]},
        [f"device_identifiers[{index}]" for index in (1, 2, 3, 4)],
    ),
    ("AssignDevices", {"customer_email": ADA, **ONE, "auto_create_devices": True}, ["device_type"]),
    ("AssignDevices", {"customer_email": ADA, **ONE, **TYPED, "device_type": LONG}, ["device_type"]),
    ("AssignDevices", {"customer_email": ADA, **ONE, **TYPED, "device_type": " "}, ["device_type"]),
    ("AssignDevices", {"customer_email": ADA, **ONE, "request_id": "1", "note": "x" * 501}, ["request_id", "note"]),
    ("AssignDevice", {}, ["device_identifier", "customer_emails"]),
    (
        "AssignDevice",
        {"device_identifier": "A", "customer_emails": [ADA, "x", BOB, ""]},
        ["customer_emails[1]", "customer_emails[3]"],
    ),
    ("AssignDevice", {"device_identifier": "A", "customer_emails": [ADA], "auto_create_device": True}, ["device_type"]),
    ("TransferDevices", {}, ["from_customer_email", "to_customer_email", "device_identifiers"]),
    (
        "TransferDevices",
        {"from_customer_email": ADA, "to_customer_email": "ADA@EXAMPLE.COM", **ONE},
        ["to_customer_email"],
    ),
    ("UnassignAllDevices", {}, ["expected_count", "customer_email"]),
    ("LookupOwners", {}, ["device_identifiers"]),
    ("LookupOwners", {"device_identifiers": ["A", "\0"]}, ["device_identifiers[1]"]),
    ("LookupOwners", {"device_identifiers": [f"{n}" for n in range(1_001)]}, ["device_identifiers"]),
    ("LookupOwners", {**ONE, "at": NO_MOMENT}, ["at"]),
    ("LookupOwners", {**ONE, "at": NO_NANOS}, ["at"]),
    ("ListOperations", {"customer_email": "x", "device_identifier": "a\n"}, ["customer_email", "device_identifier"]),
    ("ListOperations", {"since": NO_MOMENT, "until": NO_NANOS}, ["since", "until"]),
    ("ListOperations", {"page_size": -1, "page_token": "?"}, ["page_size", "page_token"]),
    ("GetOperation", {}, ["operation_id"]),
    ("ListOperationChanges", {"page_size": -1, "page_token": "AAAA"}, ["operation_id", "page_size", "page_token"]),
    ("RevertOperation", {"request_id": "x", "note": "\0"}, ["operation_id", "request_id", "note"]),
    (
        "WatchOperations",
        {"after": "x", "from_now": True, "customer_email": "x"},
        ["from_now", "customer_email", "after"],
    ),
    ("CreateOrUpdateCustomer", {}, ["email"]),
    (
        "CreateOrUpdateCustomer",
        {"email": ADA, "name": LONG, "phone": LONG, "address": "x" * 1_001, "metadata": {"a": float("nan")}},
        ["name", "phone", "address", "metadata"],
    ),
    (
        "CreateOrUpdateCustomer",
        {"email": ADA, "name": "\0", "phone": "\0", "address": "\0"},
        ["name", "phone", "address"],
    ),
    ("QueryCustomer", {"email": "x"}, ["email"]),
    ("GetCustomer", {}, ["telemetron_customer_id"]),
    ("ListCustomers", {"page_size": -1, "page_token": "x"}, ["page_size", "page_token"]),
    ("CreateOrUpdateDevice", {}, ["identifier"]),
    ("CreateOrUpdateDevice", {"identifier": "unknown"}, ["type"]),
    ("CreateOrUpdateDevice", {"identifier": "A", "type": LONG}, ["type"]),
    ("CreateOrUpdateDevice", {"identifier": "A", "type": "t", "properties": {"\0": 1}}, ["properties"]),
    ("GetDevice", {"identifier": " "}, ["identifier"]),
    ("ListDevices", {"page_size": -1, "page_token": "x"}, ["page_size", "page_token"]),
    ("BulkUpdateDeviceMetadata", {}, ["devices"]),
    (
        "BulkUpdateDeviceMetadata",
        {
            "devices": [
                {"identifier": "A"},
                {"identifier": "", "metadata": {"a": 2.0**60}},
                {"identifier": "B", "metadata": {"a": "\0"}},
                {"identifier": "A"},
            ]
        },
        ["devices[1].identifier", "devices[1].metadata", "devices[2].metadata", "devices[3].identifier"],
    ),
    (
        "BulkUpdateDeviceMetadata",
        {"devices": [{"identifier": f"{number}"} for number in range(1_001)]},
        ["devices"],
    ),
]


@pytest.mark.parametrize(("method", "fields", "paths"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)])
def test_every_field_that_is_wrong_is_named(
    api: Api, tenant: Tenant, method: str, fields: dict[str, Any], paths: list[str]
) -> None:
    failed = failure(lambda: list(api(tenant, method, **fields)))
    assert (failed.code.name, failed.reason) == ("INVALID_ARGUMENT", "ERROR_REASON_INVALID_FIELDS")
    assert sorted(path for path, _ in failed.violations) == sorted(paths)
    assert failed.trailer_bytes < 8192


STRANGE = ["nonsense", "op_0000", "a\0b", "x" * 5_000, "🙂"]


@pytest.mark.parametrize("strange", STRANGE)
def test_a_strange_id_is_simply_not_found(api: Api, tenant: Tenant, strange: str) -> None:
    for method in ("GetOperation", "ListOperationChanges", "RevertOperation"):
        failed = failure(lambda: api(tenant, method, operation_id=strange))  # noqa: B023  # called here
        assert (failed.code.name, failed.reason) == ("NOT_FOUND", "ERROR_REASON_OPERATION_NOT_FOUND")
    for call in (
        lambda: api(tenant, "GetCustomer", telemetron_customer_id=strange),
        lambda: api(tenant, "ListAssignedDevices", customer_id=strange),
        lambda: api(tenant, "CreateOrUpdateCustomer", email=ADA, telemetron_customer_id=strange),
    ):
        failed = failure(call)
        assert (failed.code.name, failed.reason) == ("NOT_FOUND", "ERROR_REASON_CUSTOMER_NOT_FOUND")
    assert api.operations(tenant, key_id=strange) == []
