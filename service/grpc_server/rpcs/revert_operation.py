"""RevertOperation."""

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.revert_operation import Reverted, RevertOperation, revert_operation
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.use_cases import UseCases


def handle(use_cases: UseCases, request: pb.RevertOperationRequest) -> pb.RevertOperationResponse:
    """Serves RevertOperation."""
    fields = Fields()
    command = RevertOperation(
        operation_id=fields.required("operation_id", request.operation_id),
        options=fields.options(request, call.key_id()),
    )
    fields.check()
    answer = use_cases.write(pb.RevertOperationResponse, command, revert_operation, _answer)
    call.count(reverted=answer.reverted_count, left=answer.not_reverted_count)
    return answer


def _answer(result: Reverted) -> pb.RevertOperationResponse:
    return pb.RevertOperationResponse(
        success=True,
        message=f"Successfully reverted {result.reverted_count} device(s), left {result.not_reverted_count}",
        operation_id=result.operation_id,
        reverted_count=result.reverted_count,
        not_reverted_count=result.not_reverted_count,
        not_reverted_devices=[
            pb.DeviceLeft(device_identifier=identifier, reason=pb.LeftReason.ValueType(reason))
            for identifier, reason in result.not_reverted
        ],
    )
