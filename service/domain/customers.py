"""Customers as records: create, update, read."""

from dataclasses import dataclass

from service.domain import answer_size, tokens
from service.domain.email import Email
from service.domain.errors import CustomerNotFound, EmailTaken
from service.domain.list_assigned_devices import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from service.domain.options import Options
from service.domain.replay import Request
from service.domain.values import CustomerRecord
from service.storage.unit_of_work import UnitOfWork

# What a customer takes in an answer beside the texts: ids, a time, a page token, tags and lengths.
_RECORD_OVERHEAD = 1_024

# Few at once: each may come with as many devices as fit into a whole answer.
_PART = 20


@dataclass(frozen=True, slots=True)
class SaveCustomer:
    """A validated wish. None keeps what there is; `customer_id` empty creates."""

    email: Email
    customer_id: str
    options: Options
    name: str | None = None
    phone: str | None = None
    address: str | None = None
    metadata: str | None = None

    def request(self) -> Request:
        """Tells what the request id stands for."""
        content = (self.email.key, self.customer_id, self.name, self.phone, self.address, self.metadata)
        return self.options.request("CreateOrUpdateCustomer", *content)


@dataclass(frozen=True, slots=True)
class CustomerView:
    """A customer and the devices that fit into an answer; the token goes on behind them."""

    record: CustomerRecord
    devices: list[str]
    next_page_token: str


def save_customer(uow: UnitOfWork, wish: SaveCustomer) -> str:
    """Creates or updates a customer. Gives the id; in a preview of a new one, nothing.

    Raises:
        EmailTaken: another customer has the address.
        CustomerNotFound: there is none to update.
    """
    other = uow.customers.find(email=wish.email)
    customer_id = wish.customer_id
    if not wish.customer_id:
        if other is not None:
            raise EmailTaken
        if wish.options.validate_only:
            return ""
        added, created = uow.customers.create([wish.email])
        if not created:
            raise EmailTaken
        customer_id = added[wish.email.key].id
    elif uow.customers.find(customer_id=wish.customer_id) is None:
        raise CustomerNotFound
    elif other is not None and other.id != wish.customer_id:
        raise EmailTaken
    if wish.options.validate_only:
        return customer_id
    name = wish.name if wish.customer_id else (wish.name or None)
    fields = {"name": name, "phone": wish.phone, "address": wish.address, "metadata": wish.metadata}
    if not uow.customers.update(
        customer_id, wish.email, {f: value for f, value in fields.items() if value is not None}
    ):
        raise EmailTaken
    return customer_id


def view_customer(
    uow: UnitOfWork, max_answer_bytes: int, *, email: Email | None = None, customer_id: str = ""
) -> CustomerView:
    """Gives a customer by address or by id. Raises `CustomerNotFound` if the organisation has no such."""
    record = uow.customers.record(email=email, customer_id=customer_id)
    if record is None:
        raise CustomerNotFound
    return _view(uow, record, max_answer_bytes)


def list_customers(
    uow: UnitOfWork, after: str, max_answer_bytes: int, page_size: int = DEFAULT_PAGE_SIZE
) -> tuple[list[CustomerView], str]:
    """Gives one page of customers, ordered by id, and a token for the next."""

    def read(behind: str, limit: int) -> list[CustomerView]:
        return [_view(uow, record, max_answer_bytes) for record in uow.customers.records(behind, limit)]

    page, more = answer_size.page(
        read,
        after,
        key=lambda view: view.record.customer.id,
        size=lambda view: _size(view.record) + answer_size.size_of(view.devices),
        limit=min(page_size, MAX_PAGE_SIZE),
        room=max_answer_bytes - answer_size.FIELDS_BYTES,
        part_size=_PART,
    )
    return page, tokens.pack("customers", page[-1].record.customer.id) if more else ""


def read_customers_token(text: str) -> str:
    """Reads a token of a list of customers. Raises `ValueError` if this is none."""
    (after,) = tokens.unpack(text, "customers", str)
    return str(after)


def _size(record: CustomerRecord) -> int:
    texts = (record.customer.email, record.name, record.phone, record.address)
    return answer_size.size_of(texts) + answer_size.struct_size(record.metadata) + _RECORD_OVERHEAD


def _view(uow: UnitOfWork, record: CustomerRecord, max_answer_bytes: int) -> CustomerView:
    customer = record.customer
    if not customer.device_count:
        return CustomerView(record, [], "")
    fitted = answer_size.fit(
        lambda after, limit: uow.assignments.current(customer, after, limit),
        max_bytes=max_answer_bytes,
        taken=_size(record),
    )
    last = fitted.identifiers[-1] if fitted.identifiers else ""
    token = "" if fitted.complete else tokens.next_page(customer, customer.revision, last)
    return CustomerView(record, fitted.identifiers, token)
