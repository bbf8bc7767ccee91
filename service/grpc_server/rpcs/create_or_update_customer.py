"""CreateOrUpdateCustomer."""

from deviceassignment.v1 import customer_pb2 as pb

from service.domain.create_or_update_customer import CreateOrUpdateCustomer, create_or_update_customer
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.use_cases import UseCases

_MAX_ADDRESS = 1_000


def handle(use_cases: UseCases, request: pb.CreateOrUpdateCustomerRequest) -> pb.CreateOrUpdateCustomerResponse:
    """Serves CreateOrUpdateCustomer."""
    fields = Fields()
    has = request.HasField
    command = CreateOrUpdateCustomer(
        email=fields.email("email", request.email),
        customer_id=request.telemetron_customer_id,
        options=fields.options(request, call.key_id()),
        name=fields.text("name", request.name) if has("name") else None,
        phone=fields.text("phone", request.phone) if has("phone") else None,
        address=fields.text("address", request.address, _MAX_ADDRESS) if has("address") else None,
        metadata=fields.struct("metadata", request.metadata) if has("metadata") else None,
    )
    fields.check()

    def answer(customer_id: str) -> pb.CreateOrUpdateCustomerResponse:
        return pb.CreateOrUpdateCustomerResponse(
            success=True,
            telemetron_customer_id=customer_id,
            message=f"Customer successfully {'updated' if command.customer_id else 'created'}",
        )

    return use_cases.write(pb.CreateOrUpdateCustomerResponse, command, create_or_update_customer, answer)
