"""QueryCustomer."""

from deviceassignment.v1 import customer_pb2 as pb

from service.domain.query_customer import query_customer
from service.grpc_server.fields import Fields
from service.grpc_server.rpcs.customer_messages import write_customer
from service.grpc_server.use_cases import UseCases


def handle(use_cases: UseCases, request: pb.QueryCustomerRequest) -> pb.QueryCustomerResponse:
    """Serves QueryCustomer."""
    fields = Fields()
    email = fields.email("email", request.email)
    fields.check()
    view = use_cases.read(lambda uow: query_customer(uow, email, use_cases.max_answer_bytes))
    return write_customer(view, pb.QueryCustomerResponse())
