"""Gets a customer by e-mail address."""

from service.domain.customer_view import CustomerView, view_customer
from service.domain.email import Email
from service.domain.errors import CustomerNotFound
from service.storage.unit_of_work import UnitOfWork


def query_customer(uow: UnitOfWork, email: Email, max_answer_bytes: int) -> CustomerView:
    """Returns a customer, with the devices that fit into an answer.

    Raises:
        CustomerNotFound: the organisation has no such customer.
    """
    record = uow.customers.find_record(email=email)
    if record is None:
        raise CustomerNotFound
    return view_customer(uow, record, max_answer_bytes)
