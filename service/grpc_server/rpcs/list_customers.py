"""ListCustomers."""

from deviceassignment.v1 import customer_pb2 as pb

from service.domain.list_customers import list_customers, read_token
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.rpcs.customer_messages import write_customer
from service.grpc_server.use_cases import UseCases


def handle(use_cases: UseCases, request: pb.ListCustomersRequest) -> pb.ListCustomersResponse:
    """Serves ListCustomers."""
    fields = Fields()
    limits = use_cases.page_limits(fields.page_size(request.page_size))
    after = fields.token(request.page_token, read_token, "")
    fields.check()
    page, token = use_cases.read(lambda uow: list_customers(uow, after, limits))
    call.count(listed=len(page))
    customers = [write_customer(view, pb.Customer()) for view in page]
    return pb.ListCustomersResponse(customers=customers, next_page_token=token)
