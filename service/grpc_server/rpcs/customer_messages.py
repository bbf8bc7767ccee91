"""Writes customers into answers."""

from typing import TypeVar

from deviceassignment.v1 import customer_pb2 as pb

from service.domain.customer_view import CustomerView
from service.grpc_server import call, structs
from service.grpc_server.messages import write_instant

M = TypeVar("M", pb.Customer, pb.GetCustomerResponse, pb.QueryCustomerResponse)


def write_customer(view: CustomerView, message: M) -> M:
    """Fills a message with a customer, and returns it."""
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
