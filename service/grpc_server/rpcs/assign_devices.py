"""AssignDevices."""

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.assign_devices import AssignDevices, DeviceAssigned, DevicesAssigned, assign_devices
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.rpcs.lists import extend
from service.grpc_server.use_cases import UseCases
from service.runtime.chunks import chunks

MAX_DEVICES = 20_000


def handle(use_cases: UseCases, request: pb.AssignDevicesRequest) -> pb.AssignDevicesResponse:
    """Serves AssignDevices."""
    fields = Fields()
    identifiers = fields.identifiers("device_identifiers", request.device_identifiers)
    command = AssignDevices(
        customer=fields.email("customer_email", request.customer_email),
        identifiers=fields.most("device_identifiers", identifiers, MAX_DEVICES),
        options=fields.options(request, call.key_id(), expected_revision=request.expected_revision),
        auto_create_devices=request.auto_create_devices,
        device_type=fields.type_of_new_devices(request.device_type, required=request.auto_create_devices),
        require_existing_customer=request.require_existing_customer,
    )
    fields.check()
    answer = use_cases.write(pb.AssignDevicesResponse, command, assign_devices, _answer)
    call.count(requested=len(command.identifiers), assigned=len(answer.assigned_devices), skipped=len(answer.skipped))
    return answer


def _answer(result: DevicesAssigned) -> pb.AssignDevicesResponse:
    answer = pb.AssignDevicesResponse(
        success=True,
        message=f"Successfully assigned {len(result.assigned)} device(s) to customer",
        customer_id=result.customer_id,
        customer_was_created=result.customer_was_created,
        device_count=result.device_count,
        operation_id=result.operation_id,
        revision=result.revision,
    )
    for chunk in chunks(result.assigned):
        answer.assigned_devices.extend(map(_device, chunk))
    for chunk in chunks(result.already_assigned):
        answer.already_assigned.extend(map(_device, chunk))
    extend(answer.skipped, result.skipped)
    return answer


def _device(device: DeviceAssigned) -> pb.DeviceAssigned:
    return pb.DeviceAssigned(identifier=device.identifier, device_id=device.device_id, was_created=device.was_created)
