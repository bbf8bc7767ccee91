"""Lists the devices that a customer has, or had at an instant, in pages that all show the same instant."""

from dataclasses import dataclass
from datetime import datetime

from service.domain import answer_size, tokens
from service.domain.as_of import as_of
from service.domain.email import Email
from service.domain.errors import CustomerNotFound, HistoryPruned, InvalidFields, Violation
from service.domain.pages import PageLimits
from service.domain.tokens import PageToken
from service.domain.values import AssignedDevice, Customer, RevisionState
from service.storage.unit_of_work import UnitOfWork

# What a device takes in an answer beside its identifier: its id, a time, tags and lengths.
_DEVICE_OVERHEAD = 64


@dataclass(frozen=True, slots=True)
class ListAssignedDevices:
    """The query, validated: a customer by e-mail or id; or a page token; or the first page's query with its token."""

    limits: PageLimits
    customer: Email | None = None
    customer_id: str = ""
    at: datetime | None = None
    page_token: PageToken | None = None


@dataclass(frozen=True, slots=True)
class AssignedDevices:
    """One page, and the length, the revision and the instant of the whole listing."""

    devices: list[AssignedDevice]
    next_page_token: str
    total_count: int
    revision: str
    as_of: datetime | None


def list_assigned_devices(uow: UnitOfWork, query: ListAssignedDevices) -> AssignedDevices:
    """Returns one page of a customer's devices.

    Raises:
        CustomerNotFound: the organisation has no such customer.
        InvalidFields: the page token belongs to another customer, to another `at` or to a revision that does not
            exist; or `at` is too far ahead.
        HistoryPruned: the listing is of a time before the kept history.
    """
    token = query.page_token
    kept_since = uow.operations.kept_since() if token is not None or query.at is not None else None
    shown = as_of(query.at, uow.assignments.now(), kept_since) if token is None else token.as_of
    by_token = token is not None and query.customer is None and not query.customer_id
    customer_id = token.customer_id if token is not None and by_token else query.customer_id
    customer = uow.customers.find(email=query.customer, customer_id=customer_id or None)
    if customer is None:
        raise CustomerNotFound
    state = _state(uow, customer, query, kept_since)
    after = token.after if token is not None else ""
    found = uow.assignments.assigned_at_revision(customer, state.revision, after, query.limits.members + 1)
    page = _fitting(found[: query.limits.members], query.limits.bytes)
    more = len(page) < len(found)
    next_token = ""
    if more:
        asked = token.at if token is not None else query.at
        next_token = PageToken(customer.id, state.revision, page[-1].identifier, asked, shown).encode()
    revision = tokens.revision_token(customer.id, state.revision)
    return AssignedDevices(page, next_token, state.device_count, revision, shown or state.occurred_at)


def _state(
    uow: UnitOfWork, customer: Customer, query: ListAssignedDevices, kept_since: datetime | None
) -> RevisionState:
    token = query.page_token
    if token is not None:
        alone = query.customer is None and not query.customer_id and query.at is None
        if kept_since is not None and token.customer_id == customer.id and token.revision < customer.revision:
            # The listing is complete if the revision was the last one when the kept history begins, or later.
            following = uow.assignments.state_at_revision(customer, token.revision + 1)
            if following is None or following.occurred_at is None or following.occurred_at < kept_since:
                raise HistoryPruned(kept_since)
        state = uow.assignments.state_at_revision(customer, token.revision)
        if state is None or token.customer_id != customer.id or not (alone or token.at == query.at):
            raise InvalidFields([Violation("page_token", "must be the next_page_token of this customer's listing")])
        return state
    if query.at is not None:
        return uow.assignments.state_at(customer, query.at)
    return RevisionState(customer.revision, customer.device_count)


def _fitting(devices: list[AssignedDevice], max_bytes: int) -> list[AssignedDevice]:
    """Cuts a page where the answer would grow too long. It keeps at least one device, so that listings end."""
    size = answer_size.size_of((device.identifier for device in devices), _DEVICE_OVERHEAD)
    kept = list(devices)
    while len(kept) > 1 and size > max_bytes:
        size -= answer_size.size_of([kept.pop().identifier], _DEVICE_OVERHEAD)
    return kept
