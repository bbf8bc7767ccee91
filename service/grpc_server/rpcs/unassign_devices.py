"""UnassignDevices and UnassignDevice."""

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.unassign_devices import (
    RemainingView,
    UnassignDevices,
    Unassigned,
    unassign_device,
    unassign_devices,
)
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.rpcs.lists import extend, extend_skip_reasons
from service.grpc_server.use_cases import UseCases


def handle(use_cases: UseCases, request: pb.UnassignDevicesRequest) -> pb.UnassignDevicesResponse:
    """Serves UnassignDevices."""
    fields = Fields()
    command = UnassignDevices(
        customer=fields.email("customer_email", request.customer_email),
        identifiers=fields.identifiers("device_identifiers", request.device_identifiers),
        options=fields.options(request, call.key_id(), expected_revision=request.expected_revision),
        require_all=request.require_all,
        remaining_view=fields.choice("remaining_view", request.remaining_view, RemainingView, RemainingView.FULL),
        max_answer_bytes=use_cases.max_answer_bytes,
    )
    fields.check()
    answer = use_cases.write(pb.UnassignDevicesResponse, command, unassign_devices, _answer)
    call.count(
        requested=len(command.identifiers), unassigned=len(answer.unassigned_devices), skipped=len(answer.skipped)
    )
    return answer


def handle_one(use_cases: UseCases, request: pb.UnassignDeviceRequest) -> pb.UnassignDeviceResponse:
    """Serves UnassignDevice."""
    fields = Fields()
    command = UnassignDevices(
        customer=fields.email("customer_email", request.customer_email),
        identifiers=[fields.identifier("device_identifier", request.device_identifier)],
        options=fields.options(request, call.key_id(), expected_revision=request.expected_revision),
        remaining_view=fields.choice("remaining_view", request.remaining_view, RemainingView, RemainingView.FULL),
        max_answer_bytes=use_cases.max_answer_bytes,
        method="UnassignDevice",
    )
    fields.check()
    return use_cases.write(pb.UnassignDeviceResponse, command, unassign_device, _answer_of_one)


def _answer(result: Unassigned) -> pb.UnassignDevicesResponse:
    answer = pb.UnassignDevicesResponse(
        success=True,
        message=f"Successfully unassigned {len(result.unassigned)} device(s) from customer",
        customer_id=result.customer_id,
        remaining_count=result.remaining.count,
        next_page_token=result.remaining.next_page_token,
        operation_id=result.operation_id,
        revision=result.revision,
    )
    extend(answer.unassigned_devices, result.unassigned)
    extend(answer.skipped, result.skipped)
    extend_skip_reasons(answer.skip_reasons, result.skip_reasons)
    extend(answer.devices_remaining, result.remaining.identifiers)
    return answer


def _answer_of_one(result: Unassigned) -> pb.UnassignDeviceResponse:
    answer = pb.UnassignDeviceResponse(
        success=True,
        message="Device successfully unassigned from customer",
        customer_id=result.customer_id,
        device_identifier=result.unassigned[0],
        remaining_count=result.remaining.count,
        next_page_token=result.remaining.next_page_token,
        operation_id=result.operation_id,
        revision=result.revision,
    )
    extend(answer.devices_remaining, result.remaining.identifiers)
    return answer
