"""The table of rpcs: what each one needs, takes and answers before its request is read. Other rpcs are refused."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from deviceassignment.v1 import customer_pb2, device_pb2
from deviceassignment.v1 import device_assignment_pb2 as pb
from google.protobuf.message import DecodeError

_KIB = 1024

MAX_REQUEST_BYTES = 4 * _KIB * _KIB
"""The longest message that gRPC receives, whatever the method."""

HTTP_PREFIX = "/api/ext-v1"
"""What the paths of all rpcs begin with over HTTP."""


class RequestLimits(NamedTuple):
    """How long a request may be.

    Attributes:
        bytes: the length of its message.
        json_bytes: the length of its JSON body over HTTP, where each character may be escaped.
        json_values: the number of JSON values in that body; an empty array or object counts twice.
    """

    bytes: int
    json_bytes: int
    json_values: int


# Ids, addresses, tokens and options.
_SHORT = RequestLimits(64 * _KIB, 64 * _KIB, 2_000)
# 64 KiB of metadata as JSON may take up to seven times as much as a Struct: `0,` is a double, a kind and two lengths.
# Each character may be escaped, as \u0041. The shortest JSON values, with their commas, take three bytes.
_METADATA = RequestLimits(512 * _KIB, (64 + 6 * 64) * _KIB, 45_000)
# 1,000 identifiers of 255 characters of at most four bytes, or 1,000 e-mail addresses.
_THOUSAND = RequestLimits(1_088 * _KIB, 4 * _KIB * _KIB, 2_000)
# 3 MiB of identifiers. Characters beyond ASCII take at most three times as much when they are escaped.
_LIST = RequestLimits(MAX_REQUEST_BYTES, 10 * _KIB * _KIB, 101_000)
_METADATA_LIST = RequestLimits(MAX_REQUEST_BYTES, 10 * _KIB * _KIB, 100_000)

_LONG_PAGE = 1_000
"""A page of more members than this is a long answer."""
_MAX_PAGE_REQUEST = 4 * _KIB
"""A listing's request needs no more; it is parsed by the thread that accepts all calls."""
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
        scopes: what the key must be allowed to do, all of it; empty for a method that takes no key.
        limits: how long its request may be.
        http_method: its verb over HTTP; None if it has no path there.
        path: its path over HTTP, after `HTTP_PREFIX`; `{name}` is the request's field of that name.
        long_answer: returns whether the answer to a request, in bytes, may be long. Such a call counts as a large one.
        optional_scopes: what the key must be allowed to do to get all fields of the answer.
        map_field: a list in the request that is an object in JSON: from the first field of a member to its second.
    """

    scopes: tuple[str, ...]
    limits: RequestLimits
    http_method: Literal["GET", "POST"] | None = None
    path: str = ""
    long_answer: Callable[[bytes], bool] = _never
    optional_scopes: tuple[str, ...] = ()
    map_field: str = ""


_WRITE_ASSIGNMENTS, _READ_ASSIGNMENTS = ("assignments:write",), ("assignments:read",)
_WRITE_CUSTOMERS, _READ_CUSTOMERS = ("customers:write",), ("customers:read",)
_WRITE_DEVICES, _READ_DEVICES = ("devices:write",), ("devices:read",)

_SERVICES: dict[str, dict[str, Rpc]] = {
    "DeviceAssignmentService": {
        "UnassignDevices": Rpc(_WRITE_ASSIGNMENTS, _LIST, "POST", "/deviceAssignment/unassignDevicesFromOwner"),
        "UnassignDevice": Rpc(_WRITE_ASSIGNMENTS, _SHORT, "POST", "/deviceAssignment/unassignDeviceFromOwner"),
        "AssignDevices": Rpc(_WRITE_ASSIGNMENTS, _LIST, "POST", "/deviceAssignment/assignDevicesToOwner"),
        "AssignDevice": Rpc(
            _WRITE_ASSIGNMENTS,
            _THOUSAND,
            "POST",
            "/deviceAssignment/assignDeviceToOwners",
            optional_scopes=_READ_CUSTOMERS,
        ),
        "TransferDevices": Rpc(_WRITE_ASSIGNMENTS, _LIST, "POST", "/deviceAssignment/transferDevices"),
        "UnassignAllDevices": Rpc(_WRITE_ASSIGNMENTS, _SHORT, "POST", "/deviceAssignment/unassignAllDevices"),
        "LookupOwners": Rpc(
            _READ_ASSIGNMENTS, _THOUSAND, "POST", "/deviceAssignment/lookupOwners", _many_devices, _READ_CUSTOMERS
        ),
        "ListAssignedDevices": Rpc(
            _READ_ASSIGNMENTS, _SHORT, "POST", "/deviceAssignment/listAssignedDevices", _ASSIGNED
        ),
        "ListOperations": Rpc(_READ_ASSIGNMENTS, _SHORT, "POST", "/deviceAssignment/listOperations", _OPERATIONS),
        "GetOperation": Rpc(_READ_ASSIGNMENTS, _SHORT, "POST", "/deviceAssignment/getOperation"),
        "ListOperationChanges": Rpc(
            _READ_ASSIGNMENTS, _SHORT, "POST", "/deviceAssignment/listOperationChanges", _CHANGES
        ),
        "RevertOperation": Rpc(_WRITE_ASSIGNMENTS, _SHORT, "POST", "/deviceAssignment/revertOperation"),
        "WatchOperations": Rpc(_READ_ASSIGNMENTS, _SHORT, "GET", "/deviceAssignment/watchOperations"),
    },
    "CustomerService": {
        "CreateOrUpdateCustomer": Rpc(_WRITE_CUSTOMERS, _METADATA, "POST", "/customer/createOrUpdateCustomer"),
        "QueryCustomer": Rpc(_READ_CUSTOMERS, _SHORT, "POST", "/customer/queryCustomer"),
        "GetCustomer": Rpc(_READ_CUSTOMERS, _SHORT, "GET", "/customer/getCustomer/{telemetron_customer_id}"),
        "ListCustomers": Rpc(_READ_CUSTOMERS, _SHORT, "POST", "/customer/listCustomers", _CUSTOMERS),
    },
    "DeviceService": {
        "CreateOrUpdateDevice": Rpc(_WRITE_DEVICES, _METADATA, "POST", "/device"),
        "GetDevice": Rpc(_READ_DEVICES, _SHORT, "POST", "/device/getDevice"),
        "ListDevices": Rpc(_READ_DEVICES, _SHORT, "POST", "/device/listDevices", _DEVICES),
        "BulkUpdateDeviceMetadata": Rpc(
            _WRITE_DEVICES, _METADATA_LIST, "POST", "/device/bulk-metadata", map_field="devices"
        ),
    },
}

RPCS: dict[str, Rpc] = {
    f"deviceassignment.v1.{service}/{name}": rpc for service, rpcs in _SERVICES.items() for name, rpc in rpcs.items()
}
"""Every rpc that takes a key, by its full name."""

UNKNOWN = Rpc((), _SHORT)
"""Stands for an rpc that is not in the table."""

OPEN = Rpc((), RequestLimits(_KIB, 0, 0))
"""Stands for the rpcs of `OPEN_SERVICES`."""

# Standard services that tools and load balancers call. They answer nothing about an organisation, and take no key.
OPEN_SERVICES = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
)
