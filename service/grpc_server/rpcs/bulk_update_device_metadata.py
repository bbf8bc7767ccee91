"""BulkUpdateDeviceMetadata."""

from deviceassignment.v1 import device_pb2 as pb

from service.domain.bulk_update_device_metadata import (
    MAX_DEVICES,
    BulkUpdateDeviceMetadata,
    bulk_update_device_metadata,
)
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.use_cases import UseCases


def handle(use_cases: UseCases, request: pb.BulkUpdateDeviceMetadataRequest) -> pb.BulkUpdateDeviceMetadataResponse:
    """Serves BulkUpdateDeviceMetadata."""
    fields = Fields()
    count = len(request.devices)
    if not count:
        fields.wrong("devices", "must name at least one device")
    if count > MAX_DEVICES:
        fields.wrong("devices", f"must have at most {MAX_DEVICES} members, but has {count}")
    properties: dict[str, str] = {}
    for index, device in enumerate(request.devices if count <= MAX_DEVICES else ()):
        identifier = fields.identifier(f"devices[{index}].identifier", device.identifier)
        if identifier in properties:
            fields.wrong(f"devices[{index}].identifier", "must not be named twice")
        properties[identifier] = fields.struct(f"devices[{index}].metadata", device.metadata)
    command = BulkUpdateDeviceMetadata(properties, fields.options(request, call.key_id()))
    fields.check()
    answer = use_cases.write(pb.BulkUpdateDeviceMetadataResponse, command, bulk_update_device_metadata, _answer)
    call.count(updated=answer.updated, not_found=answer.not_found)
    return answer


def _answer(exists: dict[str, bool]) -> pb.BulkUpdateDeviceMetadataResponse:
    updated = sum(exists.values())
    return pb.BulkUpdateDeviceMetadataResponse(
        success=True,
        updated=updated,
        not_found=len(exists) - updated,
        results=[
            pb.DeviceMetadataResult(identifier=identifier, status="updated" if found else "not_found")
            for identifier, found in exists.items()
        ],
    )
