"""UnassignAllDevices."""

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.unassign_all_devices import AllUnassigned, UnassignAllDevices, unassign_all_devices
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.use_cases import UseCases


def handle(use_cases: UseCases, request: pb.UnassignAllDevicesRequest) -> pb.UnassignAllDevicesResponse:
    """Serves UnassignAllDevices."""
    fields = Fields()
    if not request.HasField("expected_count"):
        fields.wrong("expected_count", "is required; 0 is a value")
    elif request.expected_count < 0:
        fields.wrong("expected_count", "must not be negative")
    command = UnassignAllDevices(
        customer=fields.email("customer_email", request.customer_email),
        expected_count=request.expected_count,
        options=fields.options(request, call.key_id(), expected_revision=request.expected_revision),
    )
    fields.check()
    answer = use_cases.write(pb.UnassignAllDevicesResponse, command, unassign_all_devices, _answer)
    call.count(unassigned=answer.unassigned_count)
    return answer


def _answer(result: AllUnassigned) -> pb.UnassignAllDevicesResponse:
    return pb.UnassignAllDevicesResponse(
        success=True,
        message=f"Successfully unassigned {result.unassigned_count} device(s) from customer",
        customer_id=result.customer_id,
        unassigned_count=result.unassigned_count,
        operation_id=result.operation_id,
        revision=result.revision,
    )
