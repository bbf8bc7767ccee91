"""Where a stream of operations begins, and whose operations it has."""

from service.domain import tokens
from service.domain.email import Email
from service.domain.errors import CustomerNotFound
from service.storage.unit_of_work import UnitOfWork


def resume_token(organization_id: str, position: int) -> str:
    """Returns the text that stands for a position in an organisation's stream."""
    return tokens.pack("stream", organization_id, position)


def read_resume_token(text: str, organization_id: str) -> int:
    """Returns the position of a token. Raises `ValueError` if it is not a resume token of this organisation."""
    found, position = tokens.unpack(text, "stream", str, int)
    if found != organization_id:
        raise ValueError("not a token of this organisation")
    return int(position)


def watched_customer(uow: UnitOfWork, email: Email) -> str:
    """Returns the id of the customer whose operations are watched.

    Raises:
        CustomerNotFound: the organisation has no such customer.
    """
    customer = uow.customers.find(email=email)
    if customer is None:
        raise CustomerNotFound
    return customer.id
