"""Writes devices into answers."""

from typing import TypeVar

from deviceassignment.v1 import device_pb2 as pb

from service.domain.values import DeviceRecord
from service.grpc_server import structs
from service.grpc_server.messages import write_instant

M = TypeVar("M", pb.Device, pb.GetDeviceResponse)


def write_device(record: DeviceRecord, message: M) -> M:
    """Fills a message with a device, and returns it."""
    message.identifier = record.identifier
    message.device_id = record.id
    message.type = record.type
    message.properties.CopyFrom(structs.from_json(record.properties))
    write_instant(message.created_at, record.created_at)
    return message
