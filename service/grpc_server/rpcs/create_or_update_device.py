"""CreateOrUpdateDevice."""

from deviceassignment.v1 import device_pb2 as pb

from service.domain.create_or_update_device import CreateOrUpdateDevice, DeviceSaved, create_or_update_device
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.use_cases import UseCases


def handle(use_cases: UseCases, request: pb.CreateOrUpdateDeviceRequest) -> pb.CreateOrUpdateDeviceResponse:
    """Serves CreateOrUpdateDevice."""
    fields = Fields()
    command = CreateOrUpdateDevice(
        identifier=fields.identifier("identifier", request.identifier),
        device_type=fields.device_type("type", request.type),
        properties=fields.struct("properties", request.properties) if request.HasField("properties") else None,
        options=fields.options(request, call.key_id()),
    )
    fields.check()

    def answer(saved: DeviceSaved) -> pb.CreateOrUpdateDeviceResponse:
        return pb.CreateOrUpdateDeviceResponse(
            success=True,
            message=f"Device successfully {'created' if saved.was_created else 'updated'}",
            device_id=saved.device_id,
            identifier=command.identifier,
            type=saved.device_type,
        )

    return use_cases.write(pb.CreateOrUpdateDeviceResponse, command, create_or_update_device, answer)
