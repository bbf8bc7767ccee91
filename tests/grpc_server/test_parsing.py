"""Long requests are parsed in pieces, to the same effect as at once."""

from functools import partial
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1 import device_pb2
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import MalformedRequest
from service.grpc_server import parsing
from tests.conftest import Client, Tenant, failure
from tests.grpc_server.conftest import raw

UNASSIGN = "/deviceassignment.v1.DeviceAssignmentService/UnassignDevices"
BULK = "/deviceassignment.v1.DeviceService/BulkUpdateDeviceMetadata"

FIELDS = [
    b"\x12\0",  # a member of a list, empty
    b"\x12\x04SN-1",
    b"\x12\x80\x01" + b"x" * 128,
    b"\x0a\x05a@b.c",  # an e-mail address
    b"\x0a\x05c@d.e",
    b"\x20\x01",  # a flag, on and off
    b"\x20\x80\x80\0",
    b"\x9a\x06\x02ab",  # fields that it does not have
    b"\x98\x06\xff\xff\x01",
    b"\x9d\x06abcd",
    b"\x99\x06abcdefgh",
]


@given(st.lists(st.tuples(st.sampled_from(FIELDS), st.sampled_from([1, 2, 9_000])), min_size=1, max_size=30))
def test_pieces_merge_to_what_parsing_at_once_gives(chosen: list[tuple[bytes, int]]) -> None:
    data = b"".join(field * count for field, count in chosen)
    pieces = list(parsing._pieces(data))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) < 33_000
    merged = pb.UnassignDevicesRequest()
    for piece in pieces:
        merged.MergeFromString(piece)
    assert merged == pb.UnassignDevicesRequest.FromString(data)


def test_no_piece_is_longer_than_its_last_field_makes_it() -> None:
    names = Struct(fields={f"{number}": Value(null_value=NULL_VALUE) for number in range(30_000)})
    devices = [device_pb2.DeviceMetadata(identifier="A", metadata=names)] * 9
    request = device_pb2.BulkUpdateDeviceMetadataRequest(devices=devices)
    assert len(list(parsing._pieces(request.SerializeToString()))) == len(devices)
    assert parsing.parse(request.SerializeToString(), type(request).FromString) == request


@pytest.mark.parametrize(
    "end",
    [b"\x12", b"\x12\x05abcd", b"\x12\xff\xff", b"\x20", b"\x9d\x06abc", b"\x13\x14", b"\xff" * 11, b"\x12\x01\xff"],
)
def test_a_long_request_that_is_no_message_is_refused(end: bytes) -> None:
    data = b"\x12\x04SN-1" * 20_000 + end
    with pytest.raises(MalformedRequest):
        parsing.parse(data, pb.UnassignDevicesRequest.FromString)


@pytest.mark.parametrize(
    ("method", "body", "problem"),
    [
        (UNASSIGN, b"\x12\0" * 2_000_000, "The request has more than 300000 fields, the members of its lists included"),
        (BULK, b"\x0a\0" * 2_000_000, "The request has more than 300000 fields, the members of its lists included"),
        (
            BULK,
            b"\x0a\x80\x80\x40" + b"\0" * 1_048_576,
            "A field of the request has 1048576 bytes; at most 524288 are taken",
        ),
    ],
)
def test_what_is_costly_to_parse_is_refused_before(
    client: Client, tenant: Tenant, method: str, body: bytes, problem: str
) -> None:
    send: Any = raw(client).unary_unary(method)
    failed = failure(partial(send, body, metadata=tenant.metadata))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_REQUEST_TOO_LARGE")
    assert failed.text == problem


def test_a_list_that_is_too_long_is_refused_with_its_length(client: Client, tenant: Tenant) -> None:
    request = pb.UnassignDevicesRequest(
        customer_email="ada@example.com", device_identifiers=[f"SN-{number}" for number in range(150_000)]
    )
    failed = failure(partial(client.assignments.UnassignDevices, request, metadata=tenant.metadata))
    assert failed.violations == [("device_identifiers", "must have at most 100000 members, but has 150000")]
