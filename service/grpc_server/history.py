"""The DeviceAssignmentService's record of operations: listings, and the stream."""

from collections.abc import Iterator
from dataclasses import replace

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain import history, tokens
from service.domain.errors import CustomerNotFound
from service.domain.history import ListOperationChanges, ListOperations
from service.grpc_client.metadata import RESUME_TOKEN
from service.grpc_server import answers, call, messages
from service.grpc_server.fields import Fields
from service.grpc_server.watch import Watchers
from service.grpc_server.writing import count, read
from service.storage.unit_of_work import Storage


class History:
    """Tells what was changed.

    Args:
        storage: runs the use cases.
        watchers: wakes the streams.
        max_answer_bytes: where a list in an answer stops.
    """

    def __init__(self, storage: Storage, watchers: Watchers, max_answer_bytes: int) -> None:
        self._storage = storage
        self._watchers = watchers
        self._max_answer_bytes = max_answer_bytes

    def ListOperations(
        self, request: pb.ListOperationsRequest, _context: grpc.ServicerContext
    ) -> pb.ListOperationsResponse:
        """Gives one page of operations."""
        fields = Fields()
        email, identifier = request.customer_email, request.device_identifier
        wish = ListOperations(
            customer=fields.email("customer_email", email) if email else None,
            device_identifier=fields.identifier("device_identifier", identifier) if identifier else "",
            key_id=request.key_id,
            since=fields.instant("since", request.HasField("since"), request.since),
            until=fields.instant("until", request.HasField("until"), request.until),
            page_size=fields.page_size(request.page_size),
            max_answer_bytes=self._max_answer_bytes,
        )
        question = wish.question()
        before = fields.token(request.page_token, lambda text: history.read_operation_token(text, question), None)
        fields.check()
        wish = replace(wish, before=before)
        page, token = read(self._storage, lambda uow: history.list_operations(uow, wish))
        count(listed=len(page))
        return answers.operations(page, token)

    def GetOperation(self, request: pb.GetOperationRequest, _context: grpc.ServicerContext) -> pb.GetOperationResponse:
        """Gives one operation."""
        fields = Fields()
        operation_id = fields.required("operation_id", request.operation_id)
        fields.check()
        found = read(self._storage, lambda uow: history.get_operation(uow, operation_id))
        return pb.GetOperationResponse(operation=messages.operation(found))

    def ListOperationChanges(
        self, request: pb.ListOperationChangesRequest, _context: grpc.ServicerContext
    ) -> pb.ListOperationChangesResponse:
        """Gives one page of an operation's changes."""
        fields = Fields()
        wish = ListOperationChanges(
            operation_id=fields.required("operation_id", request.operation_id),
            page_size=fields.page_size(request.page_size),
            max_answer_bytes=self._max_answer_bytes,
        )
        question = wish.question()
        after = fields.token(request.page_token, lambda text: history.read_change_token(text, question), ("", ""))
        fields.check()
        wish = replace(wish, after=after)
        page, token = read(self._storage, lambda uow: history.list_operation_changes(uow, wish))
        count(listed=len(page))
        return answers.operation_changes(page, token)

    def WatchOperations(
        self, request: pb.WatchOperationsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchOperationsResponse]:
        """Streams operations."""
        _, principal = call.current()
        fields = Fields()
        if request.from_now and request.after:
            fields.wrong("from_now", "must not be given together with after")
        email = fields.email("customer_email", request.customer_email) if request.customer_email else None
        organization_id = principal.organization_id
        after = fields.token(request.after, lambda text: read_resume_token(text, organization_id), 0, "after")
        fields.check()
        if after and after > self._watchers.last(organization_id):
            fields.wrong("after", "names an operation that this database does not have; watch from the beginning again")
        fields.check()
        customer_id = None
        if email is not None:
            customer = read(self._storage, lambda uow: uow.customers.find(email=email))
            if customer is None:
                raise CustomerNotFound
            customer_id = customer.id
        if request.from_now:
            after = self._watchers.last(organization_id)
        context.send_initial_metadata(((RESUME_TOKEN, resume_token(organization_id, after)),))
        for operation in self._watchers.follow(organization_id, after, customer_id):
            yield pb.WatchOperationsResponse(
                operation=messages.operation(operation), resume_token=resume_token(organization_id, operation.position)
            )


def resume_token(organization_id: str, position: int) -> str:
    """Names a place in an organisation's stream."""
    return tokens.pack("stream", organization_id, position)


def read_resume_token(text: str, organization_id: str) -> int:
    """Reads such a name. Raises `ValueError` if this is none, or another organisation's."""
    found, position = tokens.unpack(text, "stream", str, int)
    if found != organization_id:
        raise ValueError("not a token of this organisation")
    return int(position)
