"""The CustomerService: messages to wishes, results to messages."""

from typing import TypeVar

import grpc
from deviceassignment.v1 import customer_pb2 as pb
from deviceassignment.v1.customer_pb2_grpc import CustomerServiceServicer

from service.domain import customers
from service.domain.customers import CustomerView, SaveCustomer
from service.grpc_server import call, structs
from service.grpc_server.fields import Fields
from service.grpc_server.messages import write_instant
from service.grpc_server.writing import answer, count, read
from service.storage.unit_of_work import Storage, UnitOfWork

_MAX_ADDRESS = 1_000

M = TypeVar("M", pb.Customer, pb.GetCustomerResponse, pb.QueryCustomerResponse)


class Customers(CustomerServiceServicer):
    """Keeps customers.

    Args:
        storage: runs the use cases.
        max_answer_bytes: where a list in an answer stops.
    """

    def __init__(self, storage: Storage, max_answer_bytes: int) -> None:
        self._storage = storage
        self._max_answer_bytes = max_answer_bytes

    def CreateOrUpdateCustomer(
        self,
        request: pb.CreateOrUpdateCustomerRequest,
        context: grpc.ServicerContext,  # noqa: ARG002  # gRPC's
    ) -> pb.CreateOrUpdateCustomerResponse:
        """Creates or updates a customer."""
        _, principal = call.current()
        fields = Fields()
        has = request.HasField
        wish = SaveCustomer(
            email=fields.email("email", request.email),
            customer_id=request.telemetron_customer_id,
            options=fields.options(request, principal.key_id),
            name=fields.text("name", request.name) if has("name") else None,
            phone=fields.text("phone", request.phone) if has("phone") else None,
            address=fields.text("address", request.address, _MAX_ADDRESS) if has("address") else None,
            metadata=fields.struct("metadata", request.metadata) if has("metadata") else None,
        )
        fields.check()

        def render(customer_id: str) -> pb.CreateOrUpdateCustomerResponse:
            done = "updated" if wish.customer_id else "created"
            return pb.CreateOrUpdateCustomerResponse(
                success=True, telemetron_customer_id=customer_id, message=f"Customer successfully {done}"
            )

        return answer(self._storage, pb.CreateOrUpdateCustomerResponse, wish, customers.save_customer, render)

    def QueryCustomer(
        self,
        request: pb.QueryCustomerRequest,
        context: grpc.ServicerContext,  # noqa: ARG002  # gRPC's
    ) -> pb.QueryCustomerResponse:
        """Gives a customer by address."""
        fields = Fields()
        email = fields.email("email", request.email)
        fields.check()
        view = read(self._storage, lambda uow: customers.view_customer(uow, self._max_answer_bytes, email=email))
        return _write(view, pb.QueryCustomerResponse())

    def GetCustomer(
        self,
        request: pb.GetCustomerRequest,
        context: grpc.ServicerContext,  # noqa: ARG002  # gRPC's
    ) -> pb.GetCustomerResponse:
        """Gives a customer by id."""
        fields = Fields()
        customer_id = fields.required("telemetron_customer_id", request.telemetron_customer_id)
        fields.check()

        def work(uow: UnitOfWork) -> CustomerView:
            return customers.view_customer(uow, self._max_answer_bytes, customer_id=customer_id)

        return _write(read(self._storage, work), pb.GetCustomerResponse())

    def ListCustomers(
        self,
        request: pb.ListCustomersRequest,
        context: grpc.ServicerContext,  # noqa: ARG002  # gRPC's
    ) -> pb.ListCustomersResponse:
        """Gives one page of customers."""
        fields = Fields()
        size = fields.page_size(request.page_size)
        after = fields.token(request.page_token, customers.read_customers_token, "")
        fields.check()
        page, token = read(
            self._storage, lambda uow: customers.list_customers(uow, after, self._max_answer_bytes, size)
        )
        count(listed=len(page))
        listed = [_write(view, pb.Customer()) for view in page]
        return pb.ListCustomersResponse(customers=listed, next_page_token=token)


def _write(view: CustomerView, message: M) -> M:
    record = view.record
    message.id = record.customer.id
    message.organization_id = call.current()[1].organization_id
    message.name = record.name
    message.email = record.customer.email
    if record.phone:
        message.phone = record.phone
    if record.address:
        message.address = record.address
    message.devices.extend(view.devices)
    message.metadata.CopyFrom(structs.from_json(record.metadata))
    write_instant(message.created_at, record.created_at)
    message.device_count = record.customer.device_count
    message.next_page_token = view.next_page_token
    return message
