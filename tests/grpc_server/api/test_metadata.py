"""Free objects: what goes in comes out, and what could not is refused."""

from typing import Any

import pytest

from tests.conftest import Tenant, failure
from tests.grpc_server.api.client import ADA, Api

PLACES = ["customer", "device", "bulk"]
place = pytest.mark.parametrize("place", PLACES)


def put(api: Api, tenant: Tenant, place: str, value: dict[str, Any]) -> None:
    match place:
        case "customer":
            api(tenant, "CreateOrUpdateCustomer", email=ADA, metadata=value)
        case "device":
            api(tenant, "CreateOrUpdateDevice", identifier="A", type="lamp", properties=value)
        case "bulk":
            api(tenant, "CreateOrUpdateDevice", identifier="A", type="lamp")
            api(tenant, "BulkUpdateDeviceMetadata", devices=[{"identifier": "A", "metadata": value}])


def got(api: Api, tenant: Tenant, place: str) -> list[bytes]:
    """Reads it in every way that there is."""
    if place == "customer":
        found = [api(tenant, "QueryCustomer", email=ADA), *api(tenant, "ListCustomers").customers]
        return [each.metadata.SerializeToString(deterministic=True) for each in found]
    found = [api(tenant, "GetDevice", identifier="A"), *api(tenant, "ListDevices").devices]
    return [each.properties.SerializeToString(deterministic=True) for each in found]


def written(value: dict[str, Any]) -> bytes:
    from google.protobuf.struct_pb2 import Struct  # noqa: PLC0415  # for this alone

    struct = Struct()
    struct.update(value)
    return struct.SerializeToString(deterministic=True)


def nested(levels: int, inner: Any = 1) -> dict[str, Any]:
    value: dict[str, Any] = {"x": inner}
    for _ in range(levels - 1):
        value = {"x": value}
    return value


def listed(levels: int) -> dict[str, Any]:
    value: Any = [1]
    for _ in range(levels - 2):
        value = [value]
    return {"x": value}


GOOD: list[dict[str, Any]] = [
    {},
    {"": ""},
    {"a": None, "b": True, "c": [], "d": {}, "e": [[], {}, None, "x", -1.5]},
    {'é🙂\n"\\': "\x01\u2028\ud7ff"},
    {"big": 2.0**53 - 1, "small": 1 - 2.0**53, "tiny": 5e-324, "third": 1 / 3, "zero": 0.0},
    nested(32),
    listed(32),
    {"x": "y" * (64 * 1024 - 8)},
]
BAD: list[tuple[dict[str, Any], str]] = [
    (nested(33), "must have at most 32 levels"),
    (listed(33), "must have at most 32 levels"),
    ({"x": "y" * (64 * 1024 - 7)}, "must have at most 65536 bytes as JSON"),
    ({"x": "é" * (32 * 1024)}, "must have at most 65536 bytes as JSON"),
    # 2^53 itself may have been 2^53 + 1 when it was written: as doubles they are the same.
    ({"a": [2.0**53]}, "must not contain a number of 2^53 or more; write it as a string"),
    ({"a": {"b": -1e300}}, "must not contain a number of 2^53 or more; write it as a string"),
    ({"a": float("nan")}, "must not contain a number that is not finite"),
    ({"a": [float("inf")]}, "must not contain a number that is not finite"),
    ({"a": float("-inf")}, "must not contain a number that is not finite"),
    ({"a": "x\0"}, "must not contain the character U+0000"),
    ({"a": [{"\0": 1}]}, "must not contain the character U+0000"),
]


@place
@pytest.mark.parametrize("value", GOOD, ids=range(len(GOOD)))
def test_what_goes_in_comes_out_unchanged(api: Api, tenant: Tenant, place: str, value: dict[str, Any]) -> None:
    put(api, tenant, place, value)
    assert got(api, tenant, place) == [written(value)] * 2


@place
@pytest.mark.parametrize(("value", "problem"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_kept_is_refused_and_says_why(
    api: Api, tenant: Tenant, place: str, value: dict[str, Any], problem: str
) -> None:
    paths = {"customer": "metadata", "device": "properties", "bulk": "devices[0].metadata"}
    failed = failure(lambda: put(api, tenant, place, value))
    assert failed.code.name == "INVALID_ARGUMENT"
    assert failed.violations == [(paths[place], problem)]


@place
def test_a_value_without_a_kind_is_refused(api: Api, tenant: Tenant, place: str) -> None:
    from google.protobuf.struct_pb2 import Struct, Value  # noqa: PLC0415  # for this alone

    value: Any = Struct(fields={"a": Value()})
    failed = failure(lambda: put(api, tenant, place, value))
    assert [text for _, text in failed.violations] == ["must not contain a value without a kind"]


@place
def test_what_is_far_too_deep_is_an_invalid_argument_too(api: Api, tenant: Tenant, place: str) -> None:
    assert failure(lambda: put(api, tenant, place, nested(40))).code.name == "INVALID_ARGUMENT"
