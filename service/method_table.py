"""The table of rpcs: the scope that each needs, and how long its request may be. Others are refused."""

from collections.abc import Callable
from typing import Any, NamedTuple

from deviceassignment.v1 import customer_pb2, device_pb2
from deviceassignment.v1 import device_assignment_pb2 as pb
from google.protobuf.message import DecodeError

_KIB = 1024

MAX_REQUEST_BYTES = 4 * _KIB * _KIB
"""The longest message that gRPC takes in, whatever the method."""

# Ids, addresses, tokens and options.
_SHORT = 64 * _KIB
# 64 KiB of metadata as JSON may take up to seven times as much as a Struct: `0,` is a double, a kind and two lengths.
_METADATA = 512 * _KIB
# 1,000 identifiers of 255 characters of at most four bytes, or 1,000 e-mail addresses.
_THOUSAND = 1_088 * _KIB
_LIST = MAX_REQUEST_BYTES

_LONG_PAGE = 1_000
"""A page of more members than this is a long answer."""
_MAX_PAGE_REQUEST = 4 * _KIB
"""A listing's request needs no more; it is parsed by the thread that takes all calls in."""
_MAX_FEW_DEVICES = 2 * _KIB
"""About a hundred identifiers, each of which may have a hundred owners."""


def _never(_message: bytes) -> bool:
    return False


def _long_page(request: Any) -> Callable[[bytes], bool]:
    """Recognizes a listing's requests, of this type, for a long page."""

    def is_long(message: bytes) -> bool:
        if len(message) > _MAX_PAGE_REQUEST:
            return True
        try:
            return bool(request.FromString(message).page_size > _LONG_PAGE)
        except DecodeError:
            return False  # it is refused when it is parsed for the call

    return is_long


def _many_devices(message: bytes) -> bool:
    return len(message) > _MAX_FEW_DEVICES


_ASSIGNED = _long_page(pb.ListAssignedDevicesRequest)
_OPERATIONS = _long_page(pb.ListOperationsRequest)
_CHANGES = _long_page(pb.ListOperationChangesRequest)
_CUSTOMERS = _long_page(customer_pb2.ListCustomersRequest)
_DEVICES = _long_page(device_pb2.ListDevicesRequest)


class Rpc(NamedTuple):
    """What is known of an rpc before its request is read.

    Attributes:
        scope: what the key must be allowed to do; empty for a method that takes no key.
        max_bytes: the longest request, in bytes on the wire.
        long_answer: whether the answer to a request, in bytes, may be a long one; such a call counts as a large one.
    """

    scope: str
    max_bytes: int
    long_answer: Callable[[bytes], bool] = _never


RPCS: dict[str, Rpc] = {
    f"deviceassignment.v1.{name}": rpc
    for name, rpc in {
        "DeviceAssignmentService/UnassignDevices": Rpc("assignments:write", _LIST),
        "DeviceAssignmentService/UnassignDevice": Rpc("assignments:write", _SHORT),
        "DeviceAssignmentService/AssignDevices": Rpc("assignments:write", _LIST),
        "DeviceAssignmentService/AssignDevice": Rpc("assignments:write", _THOUSAND),
        "DeviceAssignmentService/TransferDevices": Rpc("assignments:write", _LIST),
        "DeviceAssignmentService/UnassignAllDevices": Rpc("assignments:write", _SHORT),
        "DeviceAssignmentService/RevertOperation": Rpc("assignments:write", _SHORT),
        "DeviceAssignmentService/ListAssignedDevices": Rpc("assignments:read", _SHORT, _ASSIGNED),
        "DeviceAssignmentService/LookupOwners": Rpc("assignments:read", _THOUSAND, _many_devices),
        "DeviceAssignmentService/ListOperations": Rpc("assignments:read", _SHORT, _OPERATIONS),
        "DeviceAssignmentService/GetOperation": Rpc("assignments:read", _SHORT),
        "DeviceAssignmentService/ListOperationChanges": Rpc("assignments:read", _SHORT, _CHANGES),
        "DeviceAssignmentService/WatchOperations": Rpc("assignments:read", _SHORT),
        "CustomerService/CreateOrUpdateCustomer": Rpc("customers:write", _METADATA),
        "CustomerService/QueryCustomer": Rpc("customers:read", _SHORT),
        "CustomerService/GetCustomer": Rpc("customers:read", _SHORT),
        "CustomerService/ListCustomers": Rpc("customers:read", _SHORT, _CUSTOMERS),
        "DeviceService/CreateOrUpdateDevice": Rpc("devices:write", _METADATA),
        "DeviceService/BulkUpdateDeviceMetadata": Rpc("devices:write", _LIST),
        "DeviceService/GetDevice": Rpc("devices:read", _SHORT),
        "DeviceService/ListDevices": Rpc("devices:read", _SHORT, _DEVICES),
    }.items()
}

UNKNOWN = Rpc("", _SHORT)
"""Stands for an rpc that is not in the table."""

# Standard services that tools and load balancers call: they answer nothing about anybody's data, and take no key.
OPEN_SERVICES = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
)
