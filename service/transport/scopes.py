"""Which rpc needs which scope. An rpc that is not in this table is refused."""

SCOPES: dict[str, str] = {
    "deviceassignment.v1.DeviceAssignmentService/UnassignDevices": "assignments:write",
    "deviceassignment.v1.DeviceAssignmentService/UnassignDevice": "assignments:write",
    "deviceassignment.v1.DeviceAssignmentService/AssignDevices": "assignments:write",
    "deviceassignment.v1.DeviceAssignmentService/AssignDevice": "assignments:write",
    "deviceassignment.v1.DeviceAssignmentService/TransferDevices": "assignments:write",
    "deviceassignment.v1.DeviceAssignmentService/UnassignAllDevices": "assignments:write",
    "deviceassignment.v1.DeviceAssignmentService/RevertOperation": "assignments:write",
    "deviceassignment.v1.DeviceAssignmentService/ListAssignedDevices": "assignments:read",
    "deviceassignment.v1.DeviceAssignmentService/LookupOwners": "assignments:read",
    "deviceassignment.v1.DeviceAssignmentService/ListOperations": "assignments:read",
    "deviceassignment.v1.DeviceAssignmentService/GetOperation": "assignments:read",
    "deviceassignment.v1.DeviceAssignmentService/ListOperationChanges": "assignments:read",
    "deviceassignment.v1.DeviceAssignmentService/WatchOperations": "assignments:read",
    "deviceassignment.v1.CustomerService/CreateOrUpdateCustomer": "customers:write",
    "deviceassignment.v1.CustomerService/QueryCustomer": "customers:read",
    "deviceassignment.v1.CustomerService/GetCustomer": "customers:read",
    "deviceassignment.v1.CustomerService/ListCustomers": "customers:read",
    "deviceassignment.v1.DeviceService/CreateOrUpdateDevice": "devices:write",
    "deviceassignment.v1.DeviceService/BulkUpdateDeviceMetadata": "devices:write",
    "deviceassignment.v1.DeviceService/GetDevice": "devices:read",
    "deviceassignment.v1.DeviceService/ListDevices": "devices:read",
}

# Standard services that tools and load balancers call: they tell nothing of anybody's data, and take no key.
OPEN_SERVICES = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
)
