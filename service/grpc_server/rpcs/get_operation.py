"""GetOperation."""

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.get_operation import get_operation
from service.grpc_server import messages
from service.grpc_server.fields import Fields
from service.grpc_server.use_cases import UseCases


def handle(use_cases: UseCases, request: pb.GetOperationRequest) -> pb.GetOperationResponse:
    """Serves GetOperation."""
    fields = Fields()
    operation_id = fields.required("operation_id", request.operation_id)
    fields.check()
    operation = use_cases.read(lambda uow: get_operation(uow, operation_id))
    return pb.GetOperationResponse(operation=messages.operation(operation))
