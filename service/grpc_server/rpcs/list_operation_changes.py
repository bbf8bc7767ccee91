"""ListOperationChanges."""

from dataclasses import replace

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.list_operation_changes import ListOperationChanges, list_operation_changes
from service.domain.values import AssignmentChange
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.use_cases import UseCases
from service.runtime.chunks import chunks


def handle(use_cases: UseCases, request: pb.ListOperationChangesRequest) -> pb.ListOperationChangesResponse:
    """Serves ListOperationChanges."""
    fields = Fields()
    query = ListOperationChanges(
        operation_id=fields.required("operation_id", request.operation_id),
        limits=use_cases.page_limits(fields.page_size(request.page_size)),
    )
    query = replace(query, after=fields.token(request.page_token, query.read_token, ("", "")))
    fields.check()
    page, token = use_cases.read(lambda uow: list_operation_changes(uow, query))
    call.count(listed=len(page))
    answer = pb.ListOperationChangesResponse(next_page_token=token)
    for chunk in chunks(page):
        answer.changes.extend(map(_change, chunk))
    return answer


def _change(change: AssignmentChange) -> pb.OperationChange:
    return pb.OperationChange(
        device_identifier=change.device_identifier,
        customer_id=change.customer_id,
        change=pb.Change.ValueType(change.change),
    )
