"""The DeviceService: one method an rpc, each served by a file in `rpcs`."""

import grpc
from deviceassignment.v1 import device_pb2 as pb
from deviceassignment.v1.device_pb2_grpc import DeviceServiceServicer

from service.grpc_server.rpcs import (
    bulk_update_device_metadata,
    create_or_update_device,
    get_device,
    list_devices,
)
from service.grpc_server.use_cases import UseCases


class DeviceServicer(DeviceServiceServicer):
    """Serves the DeviceService.

    Args:
        use_cases: runs use cases.
    """

    def __init__(self, use_cases: UseCases) -> None:
        self._use_cases = use_cases

    def CreateOrUpdateDevice(
        self, request: pb.CreateOrUpdateDeviceRequest, context: grpc.ServicerContext
    ) -> pb.CreateOrUpdateDeviceResponse:
        """Creates or updates a device."""
        return create_or_update_device.handle(self._use_cases, request)

    def GetDevice(self, request: pb.GetDeviceRequest, context: grpc.ServicerContext) -> pb.GetDeviceResponse:
        """Gets a device."""
        return get_device.handle(self._use_cases, request)

    def ListDevices(self, request: pb.ListDevicesRequest, context: grpc.ServicerContext) -> pb.ListDevicesResponse:
        """Lists devices."""
        return list_devices.handle(self._use_cases, request)

    def BulkUpdateDeviceMetadata(
        self, request: pb.BulkUpdateDeviceMetadataRequest, context: grpc.ServicerContext
    ) -> pb.BulkUpdateDeviceMetadataResponse:
        """Replaces the properties of many devices."""
        return bulk_update_device_metadata.handle(self._use_cases, request)
