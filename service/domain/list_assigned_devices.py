"""Lists what a customer has, or had at a moment, in pages that all show the same moment."""

from dataclasses import dataclass
from datetime import datetime

from service.domain import answer_size, tokens
from service.domain.as_of import as_of
from service.domain.email import Email
from service.domain.errors import CustomerNotFound, InvalidFields, Violation
from service.domain.tokens import PageToken
from service.domain.values import AssignedDevice, Customer, RevisionState
from service.storage.unit_of_work import UnitOfWork

DEFAULT_PAGE_SIZE = 1_000
MAX_PAGE_SIZE = 10_000

# What a device takes in an answer beside its identifier: its id, a time, tags and lengths.
_DEVICE_OVERHEAD = 64


@dataclass(frozen=True, slots=True)
class ListAssignedDevices:
    """A validated wish: a customer by e-mail or by id, or a page token, or the first page's wish and its page token."""

    customer: Email | None = None
    customer_id: str = ""
    at: datetime | None = None
    page_size: int = DEFAULT_PAGE_SIZE
    page_token: PageToken | None = None
    max_answer_bytes: int = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class AssignedDevices:
    """One page, and the size, the revision and the moment of the whole listing."""

    devices: list[AssignedDevice]
    next_page_token: str
    total_count: int
    revision: str
    as_of: datetime | None


def list_assigned_devices(uow: UnitOfWork, wish: ListAssignedDevices) -> AssignedDevices:
    """Gives one page of a customer's devices.

    Raises:
        CustomerNotFound: the organisation has no such customer.
        InvalidFields: the page token is of another customer or another `at`, or of a revision that has never been; or
            `at` is too far ahead.
    """
    token = wish.page_token
    shown = as_of(wish.at, uow.assignments.now()) if token is None else token.as_of
    by_token = token is not None and wish.customer is None and not wish.customer_id
    customer_id = token.customer_id if token is not None and by_token else wish.customer_id
    customer = uow.customers.find(email=wish.customer, customer_id=customer_id or None)
    if customer is None:
        raise CustomerNotFound
    moment = _moment(uow, customer, wish)
    read = min(wish.page_size, MAX_PAGE_SIZE) + 1
    after = token.after if token is not None else ""
    found = uow.assignments.assigned_at_revision(customer, moment.revision, after, read)
    page = _fitting(found[: read - 1], wish.max_answer_bytes)
    more = len(page) < len(found)
    next_token = ""
    if more:
        asked = token.at if token is not None else wish.at
        next_token = PageToken(customer.id, moment.revision, page[-1].identifier, asked, shown).encode()
    revision = tokens.revision_token(customer.id, moment.revision)
    return AssignedDevices(page, next_token, moment.device_count, revision, shown or moment.occurred_at)


def _moment(uow: UnitOfWork, customer: Customer, wish: ListAssignedDevices) -> RevisionState:
    token = wish.page_token
    if token is not None:
        alone = wish.customer is None and not wish.customer_id and wish.at is None
        moment = uow.assignments.state_at_revision(customer, token.revision)
        if moment is None or token.customer_id != customer.id or not (alone or token.at == wish.at):
            raise InvalidFields([Violation("page_token", "must be the next_page_token of this customer's listing")])
        return moment
    if wish.at is not None:
        return uow.assignments.state_at(customer, wish.at)
    return RevisionState(customer.revision, customer.device_count)


def _fitting(devices: list[AssignedDevice], max_bytes: int) -> list[AssignedDevice]:
    """Cuts a page where the answer would grow too big; one device always stays, so that a listing gets on."""
    size = answer_size.size_of((device.identifier for device in devices), _DEVICE_OVERHEAD)
    kept = list(devices)
    while len(kept) > 1 and size > max_bytes - answer_size.FIELDS_BYTES:
        size -= answer_size.size_of([kept.pop().identifier], _DEVICE_OVERHEAD)
    return kept
