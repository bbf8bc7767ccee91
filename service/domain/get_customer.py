"""Gets a customer by id."""

from service.domain.customer_view import CustomerView, view_customer
from service.domain.errors import CustomerNotFound
from service.storage.unit_of_work import UnitOfWork


def get_customer(uow: UnitOfWork, customer_id: str, max_answer_bytes: int) -> CustomerView:
    """Returns a customer, with the devices that fit into an answer.

    Raises:
        CustomerNotFound: the organisation has no such customer.
    """
    record = uow.customers.find_record(customer_id=customer_id)
    if record is None:
        raise CustomerNotFound
    return view_customer(uow, record, max_answer_bytes)
