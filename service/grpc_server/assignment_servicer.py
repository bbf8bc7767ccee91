"""The DeviceAssignmentService: one method an rpc, each served by a file in `rpcs`."""

from collections.abc import Iterator

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceServicer

from service.grpc_server.owner_lookup import OwnerLookup
from service.grpc_server.rpcs import (
    assign_device,
    assign_devices,
    get_operation,
    list_assigned_devices,
    list_operation_changes,
    list_operations,
    lookup_owners,
    revert_operation,
    transfer_devices,
    unassign_all_devices,
    unassign_devices,
    watch_operations,
)
from service.grpc_server.use_cases import UseCases
from service.grpc_server.watch import Watchers


class AssignmentServicer(DeviceAssignmentServiceServicer):
    """Serves the DeviceAssignmentService.

    Args:
        use_cases: runs use cases.
        owner_lookup: reads owners.
        watchers: follows the operations of organisations that are watched.
    """

    def __init__(self, use_cases: UseCases, owner_lookup: OwnerLookup, watchers: Watchers) -> None:
        self._use_cases = use_cases
        self._owner_lookup = owner_lookup
        self._watchers = watchers

    def UnassignDevices(
        self, request: pb.UnassignDevicesRequest, context: grpc.ServicerContext
    ) -> pb.UnassignDevicesResponse:
        """Ends assignments of one customer."""
        return unassign_devices.handle(self._use_cases, request)

    def UnassignDevice(
        self, request: pb.UnassignDeviceRequest, context: grpc.ServicerContext
    ) -> pb.UnassignDeviceResponse:
        """Ends one assignment."""
        return unassign_devices.handle_one(self._use_cases, request)

    def AssignDevices(
        self, request: pb.AssignDevicesRequest, context: grpc.ServicerContext
    ) -> pb.AssignDevicesResponse:
        """Assigns devices to one customer."""
        return assign_devices.handle(self._use_cases, request)

    def AssignDevice(self, request: pb.AssignDeviceRequest, context: grpc.ServicerContext) -> pb.AssignDeviceResponse:
        """Assigns one device to customers."""
        return assign_device.handle(self._use_cases, request)

    def TransferDevices(
        self, request: pb.TransferDevicesRequest, context: grpc.ServicerContext
    ) -> pb.TransferDevicesResponse:
        """Moves devices from one customer to another."""
        return transfer_devices.handle(self._use_cases, request)

    def UnassignAllDevices(
        self, request: pb.UnassignAllDevicesRequest, context: grpc.ServicerContext
    ) -> pb.UnassignAllDevicesResponse:
        """Ends all assignments of a customer."""
        return unassign_all_devices.handle(self._use_cases, request)

    def LookupOwners(self, request: pb.LookupOwnersRequest, context: grpc.ServicerContext) -> pb.LookupOwnersResponse:
        """Finds the owners of devices."""
        return lookup_owners.handle(self._owner_lookup, self._use_cases.max_answer_bytes, request)

    def ListAssignedDevices(
        self, request: pb.ListAssignedDevicesRequest, context: grpc.ServicerContext
    ) -> pb.ListAssignedDevicesResponse:
        """Lists a customer's devices."""
        return list_assigned_devices.handle(self._use_cases, request)

    def ListOperations(
        self, request: pb.ListOperationsRequest, context: grpc.ServicerContext
    ) -> pb.ListOperationsResponse:
        """Lists operations."""
        return list_operations.handle(self._use_cases, request)

    def GetOperation(self, request: pb.GetOperationRequest, context: grpc.ServicerContext) -> pb.GetOperationResponse:
        """Gets an operation."""
        return get_operation.handle(self._use_cases, request)

    def ListOperationChanges(
        self, request: pb.ListOperationChangesRequest, context: grpc.ServicerContext
    ) -> pb.ListOperationChangesResponse:
        """Lists what an operation changed."""
        return list_operation_changes.handle(self._use_cases, request)

    def RevertOperation(
        self, request: pb.RevertOperationRequest, context: grpc.ServicerContext
    ) -> pb.RevertOperationResponse:
        """Reverts an operation."""
        return revert_operation.handle(self._use_cases, request)

    def WatchOperations(
        self, request: pb.WatchOperationsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchOperationsResponse]:
        """Streams operations."""
        return watch_operations.handle(self._use_cases, self._watchers, request, context)
