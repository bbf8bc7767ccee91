"""Lists the customers, ordered by id."""

from service.domain import tokens
from service.domain.customer_view import CustomerView, view_customer
from service.domain.pages import PageLimits, read_page
from service.storage.unit_of_work import UnitOfWork

# Few at once: each may have as many devices as fit into a whole answer.
_READ_AT_ONCE = 20


def list_customers(uow: UnitOfWork, after: str, limits: PageLimits) -> tuple[list[CustomerView], str]:
    """Returns one page of customers, and a token for the next.

    Args:
        uow: the transaction.
        after: the id after which the page begins.
        limits: where it ends.
    """

    def read(after_id: str, limit: int) -> list[CustomerView]:
        records = uow.customers.list_records(after_id, limit)
        return [view_customer(uow, record, limits.max_answer_bytes) for record in records]

    page, more = read_page(
        read,
        after,
        limits,
        key=lambda view: view.record.customer.id,
        size=lambda view: view.size,
        at_once=_READ_AT_ONCE,
    )
    return page, tokens.pack("customers", page[-1].record.customer.id) if more else ""


def read_token(text: str) -> str:
    """Reads a page token: the id after which the page begins. Raises `ValueError` if it is another text."""
    (after,) = tokens.unpack(text, "customers", str)
    return str(after)
