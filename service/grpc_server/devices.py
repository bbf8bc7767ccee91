"""The DeviceService: messages to wishes, results to messages."""

from typing import TypeVar

import grpc
from deviceassignment.v1 import device_pb2 as pb
from deviceassignment.v1.device_pb2_grpc import DeviceServiceServicer

from service.domain import devices
from service.domain.devices import MAX_BULK_DEVICES, DeviceSaved, SaveDevice, SaveProperties
from service.domain.values import DeviceRecord
from service.grpc_server import call, structs
from service.grpc_server.fields import Fields
from service.grpc_server.messages import write_instant
from service.grpc_server.writing import answer, count, read
from service.storage.unit_of_work import Storage

M = TypeVar("M", pb.Device, pb.GetDeviceResponse)


class Devices(DeviceServiceServicer):
    """Keeps devices.

    Args:
        storage: runs the use cases.
        max_answer_bytes: where a list in an answer stops.
    """

    def __init__(self, storage: Storage, max_answer_bytes: int) -> None:
        self._storage = storage
        self._max_answer_bytes = max_answer_bytes

    def CreateOrUpdateDevice(
        self,
        request: pb.CreateOrUpdateDeviceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002  # gRPC's
    ) -> pb.CreateOrUpdateDeviceResponse:
        """Creates or updates a device."""
        _, principal = call.current()
        fields = Fields()
        wish = SaveDevice(
            identifier=fields.identifier("identifier", request.identifier),
            device_type=fields.device_type("type", request.type, required=False),
            properties=fields.struct("properties", request.properties) if request.HasField("properties") else None,
            options=fields.options(request, principal.key_id),
        )
        fields.check()

        def render(saved: DeviceSaved) -> pb.CreateOrUpdateDeviceResponse:
            return pb.CreateOrUpdateDeviceResponse(
                success=True,
                message=f"Device successfully {'created' if saved.was_created else 'updated'}",
                device_id=saved.device_id,
                identifier=wish.identifier,
                type=saved.device_type,
            )

        return answer(self._storage, pb.CreateOrUpdateDeviceResponse, wish, devices.save_device, render)

    def GetDevice(
        self,
        request: pb.GetDeviceRequest,
        context: grpc.ServicerContext,  # noqa: ARG002  # gRPC's
    ) -> pb.GetDeviceResponse:
        """Gives a device."""
        fields = Fields()
        identifier = fields.identifier("identifier", request.identifier)
        fields.check()
        return _write(read(self._storage, lambda uow: devices.get_device(uow, identifier)), pb.GetDeviceResponse())

    def ListDevices(
        self,
        request: pb.ListDevicesRequest,
        context: grpc.ServicerContext,  # noqa: ARG002  # gRPC's
    ) -> pb.ListDevicesResponse:
        """Gives one page of devices."""
        fields = Fields()
        size = fields.page_size(request.page_size)
        after = fields.token(request.page_token, devices.read_devices_token, "")
        fields.check()
        page, token = read(self._storage, lambda uow: devices.list_devices(uow, after, self._max_answer_bytes, size))
        count(listed=len(page))
        return pb.ListDevicesResponse(devices=[_write(each, pb.Device()) for each in page], next_page_token=token)

    def BulkUpdateDeviceMetadata(
        self,
        request: pb.BulkUpdateDeviceMetadataRequest,
        context: grpc.ServicerContext,  # noqa: ARG002  # gRPC's
    ) -> pb.BulkUpdateDeviceMetadataResponse:
        """Replaces the properties of many devices."""
        _, principal = call.current()
        fields = Fields()
        listed = request.devices[: MAX_BULK_DEVICES + 1]
        if not listed:
            fields.wrong("devices", "must name at least one device")
        if len(request.devices) > MAX_BULK_DEVICES:
            fields.wrong("devices", f"must have at most {MAX_BULK_DEVICES} members, but has {len(request.devices)}")
            listed = []
        properties: dict[str, str] = {}
        for index, device in enumerate(listed):
            identifier = fields.identifier(f"devices[{index}].identifier", device.identifier)
            if identifier in properties:
                fields.wrong(f"devices[{index}].identifier", "must not be named twice")
            properties[identifier] = fields.struct(f"devices[{index}].metadata", device.metadata)
        wish = SaveProperties(properties, fields.options(request, principal.key_id))
        fields.check()
        done = answer(self._storage, pb.BulkUpdateDeviceMetadataResponse, wish, devices.save_properties, _saved)
        count(updated=done.updated, not_found=done.not_found)
        return done


def _saved(found: dict[str, bool]) -> pb.BulkUpdateDeviceMetadataResponse:
    return pb.BulkUpdateDeviceMetadataResponse(
        success=True,
        updated=sum(found.values()),
        not_found=len(found) - sum(found.values()),
        results=[
            pb.DeviceMetadataResult(identifier=identifier, status="updated" if there else "not_found")
            for identifier, there in found.items()
        ],
    )


def _write(record: DeviceRecord, message: M) -> M:
    message.identifier = record.identifier
    message.device_id = record.id
    message.type = record.type
    message.properties.CopyFrom(structs.from_json(record.properties))
    write_instant(message.created_at, record.created_at)
    return message
