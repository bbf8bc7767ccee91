"""WatchOperations."""

from collections.abc import Iterator

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.watch_operations import read_resume_token, resume_token, watched_customer
from service.grpc_client.metadata import RESUME_TOKEN
from service.grpc_server import call, messages
from service.grpc_server.fields import Fields
from service.grpc_server.use_cases import UseCases
from service.grpc_server.watch import Watchers


def handle(
    use_cases: UseCases, watchers: Watchers, request: pb.WatchOperationsRequest, context: grpc.ServicerContext
) -> Iterator[pb.WatchOperationsResponse]:
    """Serves WatchOperations."""
    fields = Fields()
    organization_id = call.current()[1].organization_id
    if request.from_now and request.after:
        fields.wrong("from_now", "must not be given together with after")
    email = fields.email("customer_email", request.customer_email) if request.customer_email else None
    after = fields.token(request.after, lambda text: read_resume_token(text, organization_id), 0, "after")
    fields.check()
    if after and after > watchers.last(organization_id):
        fields.wrong("after", "names an operation that this database does not have; watch from the beginning again")
    fields.check()
    customer_id = None if email is None else use_cases.read(lambda uow: watched_customer(uow, email))
    if request.from_now:
        after = watchers.last(organization_id)
    context.send_initial_metadata(((RESUME_TOKEN, resume_token(organization_id, after)),))
    for operation in watchers.follow(organization_id, after, customer_id):
        yield pb.WatchOperationsResponse(
            operation=messages.operation(operation), resume_token=resume_token(organization_id, operation.position)
        )
