"""Which rpc needs which scope. An rpc that is not in this table is refused."""

SCOPES: dict[str, str] = {
    "deviceassignment.v1.DeviceAssignmentService/UnassignDevices": "assignments:write",
    "deviceassignment.v1.DeviceAssignmentService/ListAssignedDevices": "assignments:read",
}

# Standard services that tools and load balancers call: they tell nothing of anybody's data, and take no key.
OPEN_SERVICES = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
)
