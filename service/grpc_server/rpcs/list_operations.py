"""ListOperations."""

from dataclasses import replace

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.list_operations import ListOperations, list_operations
from service.grpc_server import call, messages
from service.grpc_server.fields import Fields
from service.grpc_server.use_cases import UseCases
from service.runtime.chunks import chunks


def handle(use_cases: UseCases, request: pb.ListOperationsRequest) -> pb.ListOperationsResponse:
    """Serves ListOperations."""
    fields = Fields()
    email, identifier = request.customer_email, request.device_identifier
    query = ListOperations(
        customer=fields.email("customer_email", email) if email else None,
        device_identifier=fields.identifier("device_identifier", identifier) if identifier else "",
        key_id=request.key_id,
        since=fields.instant("since", request.HasField("since"), request.since),
        until=fields.instant("until", request.HasField("until"), request.until),
        limits=use_cases.page_limits(fields.page_size(request.page_size)),
    )
    query = replace(query, before=fields.token(request.page_token, query.read_token, None))
    fields.check()
    page, token = use_cases.read(lambda uow: list_operations(uow, query))
    call.count(listed=len(page))
    answer = pb.ListOperationsResponse(next_page_token=token)
    for chunk in chunks(page):
        answer.operations.extend(map(messages.operation, chunk))
    return answer
