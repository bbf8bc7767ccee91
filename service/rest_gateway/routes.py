"""The one table of what the gateway serves: an HTTP method and a path for each rpc. All else is in the descriptors."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

PREFIX = "/api/ext-v1"

_KIB = 1024


@dataclass(frozen=True, slots=True)
class Size:
    """How much a body may have.

    Attributes:
        bytes: its length.
        values: its JSON values; an empty array or object counts twice.
    """

    bytes: int = 64 * _KIB
    values: int = 2_000


# Of 64 KiB, which is the most that the service keeps of an object, each character may be escaped, as \u0041. The
# shortest values, behind commas, take three bytes.
_METADATA = Size((64 + 6 * 64) * _KIB, 45_000)
# The service takes 3 MiB of identifiers. Escaped, characters beyond ASCII take at most three times as much.
_LONG_LIST = Size(10 * _KIB * _KIB, 101_000)
_LIST = Size(4 * _KIB * _KIB, 2_000)
_MANY_METADATA = Size(10 * _KIB * _KIB, 100_000)

_METHODS: dict[str, "MethodDescriptor"] = {
    method.full_name: method
    for file in (device_assignment_pb2, customer_pb2, device_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


@dataclass(frozen=True, slots=True)
class Route:
    """How an rpc is reached over HTTP.

    A POST has the request message as its JSON body. A GET has the message's fields in the path, and those that are not
    there in the query. An rpc that streams its answers is served as server-sent events.

    Attributes:
        http_method: `GET` or `POST`.
        path: below `PREFIX`; `{name}` is the request's field of that name.
        rpc: the full name of the rpc's descriptor, `package.Service.Method`.
        map_field: a list of the request that JSON has as an object: from the first field of each member to its second.
        size: how much the body may have.
    """

    http_method: Literal["GET", "POST"]
    path: str
    rpc: str
    map_field: str = ""
    size: Size = Size()

    @property
    def full_path(self) -> str:
        """The path, with `PREFIX`."""
        return PREFIX + self.path

    @property
    def method(self) -> "MethodDescriptor":
        """The rpc's descriptor."""
        return _METHODS[self.rpc]


_ASSIGNMENTS = "deviceassignment.v1.DeviceAssignmentService"
_CUSTOMERS = "deviceassignment.v1.CustomerService"
_DEVICES = "deviceassignment.v1.DeviceService"

ROUTES: tuple[Route, ...] = (
    Route("POST", "/deviceAssignment/unassignDevicesFromOwner", f"{_ASSIGNMENTS}.UnassignDevices", size=_LONG_LIST),
    Route("POST", "/deviceAssignment/unassignDeviceFromOwner", f"{_ASSIGNMENTS}.UnassignDevice"),
    Route("POST", "/deviceAssignment/assignDevicesToOwner", f"{_ASSIGNMENTS}.AssignDevices", size=_LONG_LIST),
    Route("POST", "/deviceAssignment/assignDeviceToOwners", f"{_ASSIGNMENTS}.AssignDevice", size=_LIST),
    Route("POST", "/deviceAssignment/transferDevices", f"{_ASSIGNMENTS}.TransferDevices", size=_LONG_LIST),
    Route("POST", "/deviceAssignment/unassignAllDevices", f"{_ASSIGNMENTS}.UnassignAllDevices"),
    Route("POST", "/deviceAssignment/lookupOwners", f"{_ASSIGNMENTS}.LookupOwners", size=_LIST),
    Route("POST", "/deviceAssignment/listAssignedDevices", f"{_ASSIGNMENTS}.ListAssignedDevices"),
    Route("POST", "/deviceAssignment/listOperations", f"{_ASSIGNMENTS}.ListOperations"),
    Route("POST", "/deviceAssignment/getOperation", f"{_ASSIGNMENTS}.GetOperation"),
    Route("POST", "/deviceAssignment/listOperationChanges", f"{_ASSIGNMENTS}.ListOperationChanges"),
    Route("POST", "/deviceAssignment/revertOperation", f"{_ASSIGNMENTS}.RevertOperation"),
    Route("GET", "/deviceAssignment/watchOperations", f"{_ASSIGNMENTS}.WatchOperations"),
    Route("POST", "/customer/createOrUpdateCustomer", f"{_CUSTOMERS}.CreateOrUpdateCustomer", size=_METADATA),
    Route("POST", "/customer/queryCustomer", f"{_CUSTOMERS}.QueryCustomer"),
    Route("GET", "/customer/getCustomer/{telemetron_customer_id}", f"{_CUSTOMERS}.GetCustomer"),
    Route("POST", "/customer/listCustomers", f"{_CUSTOMERS}.ListCustomers"),
    Route("POST", "/device", f"{_DEVICES}.CreateOrUpdateDevice", size=_METADATA),
    Route("POST", "/device/getDevice", f"{_DEVICES}.GetDevice"),
    Route("POST", "/device/listDevices", f"{_DEVICES}.ListDevices"),
    Route("POST", "/device/bulk-metadata", f"{_DEVICES}.BulkUpdateDeviceMetadata", "devices", _MANY_METADATA),
)
