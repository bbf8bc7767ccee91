"""The CustomerService: one method an rpc, each served by a file in `rpcs`."""

import grpc
from deviceassignment.v1 import customer_pb2 as pb
from deviceassignment.v1.customer_pb2_grpc import CustomerServiceServicer

from service.grpc_server.rpcs import (
    create_or_update_customer,
    get_customer,
    list_customers,
    query_customer,
)
from service.grpc_server.use_cases import UseCases


class CustomerServicer(CustomerServiceServicer):
    """Serves the CustomerService.

    Args:
        use_cases: runs use cases.
    """

    def __init__(self, use_cases: UseCases) -> None:
        self._use_cases = use_cases

    def CreateOrUpdateCustomer(
        self, request: pb.CreateOrUpdateCustomerRequest, context: grpc.ServicerContext
    ) -> pb.CreateOrUpdateCustomerResponse:
        """Creates or updates a customer."""
        return create_or_update_customer.handle(self._use_cases, request)

    def QueryCustomer(
        self, request: pb.QueryCustomerRequest, context: grpc.ServicerContext
    ) -> pb.QueryCustomerResponse:
        """Gets a customer by e-mail address."""
        return query_customer.handle(self._use_cases, request)

    def GetCustomer(self, request: pb.GetCustomerRequest, context: grpc.ServicerContext) -> pb.GetCustomerResponse:
        """Gets a customer by id."""
        return get_customer.handle(self._use_cases, request)

    def ListCustomers(
        self, request: pb.ListCustomersRequest, context: grpc.ServicerContext
    ) -> pb.ListCustomersResponse:
        """Lists customers."""
        return list_customers.handle(self._use_cases, request)
