"""A customer with as many of its devices as fit into an answer."""

from dataclasses import dataclass

from service.domain import answer_size, tokens
from service.domain.values import CustomerRecord
from service.storage.unit_of_work import UnitOfWork

# What a customer takes in an answer beside the texts: ids, a time, a page token, tags and lengths.
_RECORD_OVERHEAD = 1_024


@dataclass(frozen=True, slots=True)
class CustomerView:
    """A customer and the devices that fit into an answer. The token continues the list of devices."""

    record: CustomerRecord
    devices: list[str]
    next_page_token: str

    @property
    def size(self) -> int:
        """How many bytes it takes in an answer at most."""
        return _record_size(self.record) + answer_size.size_of(self.devices)


def view_customer(uow: UnitOfWork, record: CustomerRecord, max_answer_bytes: int) -> CustomerView:
    """Reads a customer's devices, as many as fit into an answer of this length."""
    customer = record.customer
    if not customer.device_count:
        return CustomerView(record, [], "")
    fitted = answer_size.fit(
        lambda after, limit: uow.assignments.current(customer, after, limit),
        max_bytes=max_answer_bytes,
        taken=_record_size(record),
    )
    last = fitted.identifiers[-1] if fitted.identifiers else ""
    token = "" if fitted.complete else tokens.next_page(customer, customer.revision, last)
    return CustomerView(record, fitted.identifiers, token)


def _record_size(record: CustomerRecord) -> int:
    texts = (record.customer.email, record.name, record.phone, record.address)
    return answer_size.size_of(texts) + answer_size.struct_size(record.metadata) + _RECORD_OVERHEAD
