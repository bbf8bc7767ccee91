"""What a request may cost before its content is looked at."""

from functools import partial
from typing import TYPE_CHECKING, Any

import email_validator
import grpc
import pytest
from deviceassignment.v1 import customer_pb2, device_pb2
from deviceassignment.v1 import device_assignment_pb2 as pb
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from service.domain.email import Email
from service.grpc_server import structs
from service.method_table import MAX_REQUEST_BYTES, RPCS
from tests.conftest import Client, Tenant, failure
from tests.grpc_server.conftest import raw

if TYPE_CHECKING:
    from google.protobuf.message import Message

DEVICE = "deviceassignment.v1.DeviceService/CreateOrUpdateDevice"


def send(client: Client, tenant: Tenant, method: str, body: bytes) -> Any:
    return raw(client).unary_unary(f"/{method}")(body, metadata=tenant.metadata)


def unknown_fields(length: int) -> bytes:
    """Writes fields that no message has, so that a body of any length is a message of any type."""
    whole, rest = divmod(length - 10, 256 * 1024)
    return unknown_field(256 * 1024) * whole + unknown_field(rest + 10)


def unknown_field(length: int) -> bytes:
    """Writes one such field."""
    start = b"\xfa\xff\x03"
    size = length - len(start)
    for width in (1, 2, 3, 4):
        rest = size - width
        encoded = bytes((rest >> 7 * place & 127) | (128 if place < width - 1 else 0) for place in range(width))
        if rest < 1 << 7 * width and (width == 1 or rest >= 1 << 7 * (width - 1)):
            return start + encoded + b"x" * rest
    raise ValueError(length)


@pytest.mark.parametrize("method", [name for name in sorted(RPCS) if not name.endswith("WatchOperations")])
def test_each_rpc_has_a_limit_of_bytes_that_is_looked_at_first(client: Client, tenant: Tenant, method: str) -> None:
    most = RPCS[method].limits.bytes
    call = raw(client).unary_unary(f"/{method}").future(unknown_fields(most), metadata=tenant.metadata)
    if call.code() is not grpc.StatusCode.OK:
        assert failure(call.result).reason == "ERROR_REASON_INVALID_FIELDS"
    if most == MAX_REQUEST_BYTES:
        return
    failed = failure(partial(send, client, tenant, method, unknown_fields(most + 1)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_REQUEST_TOO_LARGE")
    assert failed.text == f"The request has {most + 1} bytes; this method takes at most {most}"


def test_the_largest_requests_that_are_allowed_fit(client: Client, tenant: Tenant) -> None:
    wide = "\U0001f600"
    tenant.assign("ada@example.com", ["A"])
    identifiers = [wide * 251 + f"{number:04}" for number in range(1_000)]
    found = client.assignments.LookupOwners(
        pb.LookupOwnersRequest(device_identifiers=identifiers), metadata=tenant.metadata
    )
    assert len(found.results) == 1_000
    zeros = Struct(fields={"a": Value(list_value=ListValue(values=[Value(number_value=0.5)] * 16_380))})
    request = device_pb2.CreateOrUpdateDeviceRequest(identifier=wide * 255, type=wide * 255, properties=zeros)
    assert raw(client).unary_unary(f"/{DEVICE}")(request.SerializeToString(), metadata=tenant.metadata)


def test_a_metadata_of_a_million_values_is_refused_by_its_length(client: Client, tenant: Tenant) -> None:
    nulls = Struct(fields={"a": Value(list_value=ListValue(values=[Value(null_value=0)] * 1_000_000))})  # type: ignore[arg-type]  # the enum's only value
    requests: list[tuple[str, Message]] = [
        (
            "deviceassignment.v1.CustomerService/CreateOrUpdateCustomer",
            customer_pb2.CreateOrUpdateCustomerRequest(metadata=nulls),
        ),
        (DEVICE, device_pb2.CreateOrUpdateDeviceRequest(properties=nulls)),
    ]
    for method, request in requests:
        failed = failure(partial(send, client, tenant, method, request.SerializeToString()))
        assert failed.reason == "ERROR_REASON_REQUEST_TOO_LARGE"


def test_an_object_of_more_values_than_fit_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[float] = []
    number = structs._number
    monkeypatch.setattr(structs, "_number", lambda value: read.append(value) or number(value))  # type: ignore[func-returns-value]
    listed = Value(list_value=ListValue(values=[Value(number_value=0)] * 1_000))
    with pytest.raises(ValueError, match="at most 65536 bytes"):
        structs.to_json(Struct(fields={"a": Value(list_value=ListValue(values=[listed] * 1_000))}))
    assert len(read) < 33_000


def test_an_object_whose_names_do_not_fit_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[float] = []
    number = structs._number
    monkeypatch.setattr(structs, "_number", lambda value: read.append(value) or number(value))  # type: ignore[func-returns-value]
    names = {f"{place:05}": Value(number_value=0) for place in range(13_000)}
    with pytest.raises(ValueError, match="at most 65536 bytes"):
        structs.to_json(Struct(fields=names))
    assert len(read) < 66_000 // len('"00000":0,')
    fitting = dict(list(names.items())[: (64 * 1024 - 1) // len('"00000":0.0,')])
    assert len(structs.to_json(Struct(fields=fitting))) > 65_500


def test_an_address_that_is_too_long_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(email_validator, "validate_email", lambda given, **_: looked.append(given))
    for given in ("a" * 4_000_000, "a@" * 2_000_000, "a" * 243 + "@example.com"):
        with pytest.raises(ValueError, match=r"must be an e-mail address such as name@example\.com"):
            Email.parse(given)
    assert looked == []
