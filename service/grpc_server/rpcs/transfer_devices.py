"""TransferDevices."""

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.transfer_devices import TransferDevices, Transferred, transfer_devices
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.rpcs.lists import extend, extend_skip_reasons
from service.grpc_server.use_cases import UseCases


def handle(use_cases: UseCases, request: pb.TransferDevicesRequest) -> pb.TransferDevicesResponse:
    """Serves TransferDevices."""
    fields = Fields()
    command = TransferDevices(
        source=fields.email("from_customer_email", request.from_customer_email),
        target=fields.email("to_customer_email", request.to_customer_email),
        identifiers=fields.identifiers("device_identifiers", request.device_identifiers),
        options=fields.options(request, call.key_id(), expected_revision=request.from_expected_revision),
        require_existing_customer=request.require_existing_customer,
        require_all=request.require_all,
    )
    if command.source.key and command.source.key == command.target.key:
        fields.wrong("to_customer_email", "must be another customer than from_customer_email")
    fields.check()
    answer = use_cases.write(pb.TransferDevicesResponse, command, transfer_devices, _answer)
    call.count(
        requested=len(command.identifiers), transferred=len(answer.transferred_devices), skipped=len(answer.skipped)
    )
    return answer


def _answer(result: Transferred) -> pb.TransferDevicesResponse:
    answer = pb.TransferDevicesResponse(
        success=True,
        message=f"Successfully transferred {len(result.transferred)} device(s)",
        from_customer_id=result.source_id,
        to_customer_id=result.target_id,
        to_customer_was_created=result.target_was_created,
        from_device_count=result.source_device_count,
        to_device_count=result.target_device_count,
        operation_id=result.operation_id,
        from_revision=result.source_revision,
        to_revision=result.target_revision,
    )
    extend(answer.transferred_devices, result.transferred)
    extend(answer.skipped, result.skipped)
    extend_skip_reasons(answer.skip_reasons, result.skip_reasons)
    return answer
