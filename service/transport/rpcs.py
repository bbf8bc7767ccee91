"""The table of rpcs: the scope that each needs, and how long its request may be. Others are refused."""

from typing import NamedTuple

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


class Rpc(NamedTuple):
    """What is known of an rpc before its request is read.

    Attributes:
        scope: what the key must be allowed to do; empty for a method that takes no key.
        max_bytes: the longest request, in bytes on the wire.
    """

    scope: str
    max_bytes: int


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
        "DeviceAssignmentService/ListAssignedDevices": Rpc("assignments:read", _SHORT),
        "DeviceAssignmentService/LookupOwners": Rpc("assignments:read", _THOUSAND),
        "DeviceAssignmentService/ListOperations": Rpc("assignments:read", _SHORT),
        "DeviceAssignmentService/GetOperation": Rpc("assignments:read", _SHORT),
        "DeviceAssignmentService/ListOperationChanges": Rpc("assignments:read", _SHORT),
        "DeviceAssignmentService/WatchOperations": Rpc("assignments:read", _SHORT),
        "CustomerService/CreateOrUpdateCustomer": Rpc("customers:write", _METADATA),
        "CustomerService/QueryCustomer": Rpc("customers:read", _SHORT),
        "CustomerService/GetCustomer": Rpc("customers:read", _SHORT),
        "CustomerService/ListCustomers": Rpc("customers:read", _SHORT),
        "DeviceService/CreateOrUpdateDevice": Rpc("devices:write", _METADATA),
        "DeviceService/BulkUpdateDeviceMetadata": Rpc("devices:write", _LIST),
        "DeviceService/GetDevice": Rpc("devices:read", _SHORT),
        "DeviceService/ListDevices": Rpc("devices:read", _SHORT),
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
