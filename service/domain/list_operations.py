"""Lists operations, the newest first."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from service.domain import tokens
from service.domain.email import Email
from service.domain.errors import CustomerNotFound, DeviceNotFound, HistoryPruned
from service.domain.pages import PageLimits, read_page
from service.domain.values import OperationFilter, OperationRecord
from service.storage.unit_of_work import UnitOfWork

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# What an operation and one of its customers take in an answer, beside the note.
_OPERATION_OVERHEAD = 192
_CUSTOMER_BYTES = 32


@dataclass(frozen=True, slots=True)
class ListOperations:
    """The query, validated. `before` is the place after which the page begins: a page token's time and id."""

    limits: PageLimits
    customer: Email | None = None
    device_identifier: str = ""
    key_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, str] | None = None

    def query_hash(self) -> str:
        """Returns the hash of the query that its page tokens have."""
        customer = self.customer.key if self.customer else ""
        return tokens.query_hash(customer, self.device_identifier, self.key_id, self.since, self.until)

    def read_token(self, text: str) -> tuple[datetime, str]:
        """Reads a page token. Raises `ValueError` if it is not a token of this query."""
        microseconds, operation_id, asked = tokens.unpack(text, "operations", int, str, str)
        if asked != self.query_hash():
            raise ValueError("a token of another query")
        try:
            return _EPOCH + microseconds * _MICROSECOND, operation_id
        except OverflowError as error:
            raise ValueError("not a token of this service") from error


def list_operations(uow: UnitOfWork, query: ListOperations) -> tuple[list[OperationRecord], str]:
    """Returns one page of operations, and a token for the next.

    Raises:
        CustomerNotFound, DeviceNotFound: the organisation does not have the customer or device of the query.
        HistoryPruned: `since` lies before the kept history, or `until` or the page does not reach it.
    """
    since = query.since
    kept_since = uow.operations.kept_since()
    if kept_since is not None:
        ends = [query.until, query.before[0] if query.before else None]
        if (since is not None and since < kept_since) or any(end is not None and end <= kept_since for end in ends):
            raise HistoryPruned(kept_since)
        since = since or kept_since  # an older operation may be half deleted
    customer_id = None
    if query.customer is not None:
        customer = uow.customers.find(email=query.customer)
        if customer is None:
            raise CustomerNotFound
        customer_id = customer.id
    if query.device_identifier and not uow.devices.known([query.device_identifier]):
        raise DeviceNotFound
    wanted = OperationFilter(customer_id, query.device_identifier or None, query.key_id or None, since, query.until)
    page, more = read_page(
        lambda before, limit: uow.operations.page(wanted, before, limit),
        query.before,
        query.limits,
        key=lambda operation: (operation.occurred_at, operation.id),
        size=_size,
    )
    if not more:
        return page, ""
    last = page[-1]
    microseconds = (last.occurred_at - _EPOCH) // _MICROSECOND
    return page, tokens.pack("operations", microseconds, last.id, query.query_hash())


def _size(operation: OperationRecord) -> int:
    return _OPERATION_OVERHEAD + len(operation.note.encode()) + _CUSTOMER_BYTES * len(operation.customer_ids)
