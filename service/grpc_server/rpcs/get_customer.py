"""GetCustomer."""

from deviceassignment.v1 import customer_pb2 as pb

from service.domain.get_customer import get_customer
from service.grpc_server.fields import Fields
from service.grpc_server.rpcs.customer_messages import write_customer
from service.grpc_server.use_cases import UseCases


def handle(use_cases: UseCases, request: pb.GetCustomerRequest) -> pb.GetCustomerResponse:
    """Serves GetCustomer."""
    fields = Fields()
    customer_id = fields.required("telemetron_customer_id", request.telemetron_customer_id)
    fields.check()
    view = use_cases.read(lambda uow: get_customer(uow, customer_id, use_cases.max_answer_bytes))
    return write_customer(view, pb.GetCustomerResponse())
