"""Reads the record of operations: who changed what, when and why."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from service.domain import answer_size, tokens
from service.domain.email import Email
from service.domain.errors import CustomerNotFound, DeviceNotFound, OperationNotFound
from service.domain.list_assigned_devices import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from service.domain.values import AssignmentChange, OperationFilter, OperationRecord
from service.storage.unit_of_work import UnitOfWork

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# What an operation and one of its customers take in an answer, beside the note.
_OPERATION_OVERHEAD = 192
_CUSTOMER_BYTES = 32
_CHANGE_OVERHEAD = 48


@dataclass(frozen=True, slots=True)
class ListOperations:
    """A validated wish."""

    customer: Email | None = None
    device_identifier: str = ""
    key_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    page_size: int = DEFAULT_PAGE_SIZE
    before: tuple[datetime, str] | None = None
    max_answer_bytes: int = 4 * 1024 * 1024

    def question(self) -> str:
        """Gives what stands for the question in its page tokens."""
        customer = self.customer.key if self.customer else ""
        return tokens.question(customer, self.device_identifier, self.key_id, self.since, self.until)


@dataclass(frozen=True, slots=True)
class ListOperationChanges:
    """A validated wish."""

    operation_id: str
    page_size: int = DEFAULT_PAGE_SIZE
    after: tuple[str, str] = ("", "")
    max_answer_bytes: int = 4 * 1024 * 1024

    def question(self) -> str:
        """Gives what stands for the question in its page tokens."""
        return tokens.question(self.operation_id)


def operation_token(operation: OperationRecord, question: str) -> str:
    """Gives the token that goes on behind an operation."""
    return tokens.pack("operations", (operation.occurred_at - _EPOCH) // _MICROSECOND, operation.id, question)


def read_operation_token(text: str, question: str) -> tuple[datetime, str]:
    """Reads such a token. Raises `ValueError` if this is none of the question."""
    microseconds, operation_id, asked = tokens.unpack(text, "operations", int, str, str)
    if asked != question:
        raise ValueError("a token of another question")
    try:
        return _EPOCH + microseconds * _MICROSECOND, operation_id
    except OverflowError as error:
        raise ValueError("not a token of ours") from error


def read_change_token(text: str, question: str) -> tuple[str, str]:
    """Reads a token of a list of changes. Raises `ValueError` if this is none of the question."""
    customer_id, identifier, asked = tokens.unpack(text, "changes", str, str, str)
    if asked != question:
        raise ValueError("a token of another question")
    return customer_id, identifier


def list_operations(uow: UnitOfWork, wish: ListOperations) -> tuple[list[OperationRecord], str]:
    """Gives one page of operations, the newest first, and a token for the next.

    Raises:
        CustomerNotFound, DeviceNotFound: the organisation does not have what is asked for.
    """
    customer_id = None
    if wish.customer is not None:
        customer = uow.customers.find(email=wish.customer)
        if customer is None:
            raise CustomerNotFound
        customer_id = customer.id
    if wish.device_identifier and not uow.devices.known([wish.device_identifier]):
        raise DeviceNotFound
    wanted = OperationFilter(customer_id, wish.device_identifier or None, wish.key_id or None, wish.since, wish.until)
    page, more = answer_size.page(
        lambda before, limit: uow.operations.page(wanted, before, limit),
        wish.before,
        key=lambda operation: (operation.occurred_at, operation.id),
        size=_size,
        limit=min(wish.page_size, MAX_PAGE_SIZE),
        room=wish.max_answer_bytes - answer_size.FIELDS_BYTES,
    )
    return page, operation_token(page[-1], wish.question()) if more else ""


def _size(operation: OperationRecord) -> int:
    return _OPERATION_OVERHEAD + len(operation.note.encode()) + _CUSTOMER_BYTES * len(operation.customer_ids)


def get_operation(uow: UnitOfWork, operation_id: str) -> OperationRecord:
    """Gives one operation. Raises `OperationNotFound` if the organisation has no such."""
    operation = uow.operations.find(operation_id)
    if operation is None:
        raise OperationNotFound
    return operation


def list_operation_changes(uow: UnitOfWork, wish: ListOperationChanges) -> tuple[list[AssignmentChange], str]:
    """Gives one page of an operation's changes, and a token for the next. Raises as `get_operation` does."""
    get_operation(uow, wish.operation_id)
    size = min(wish.page_size, MAX_PAGE_SIZE)
    found = uow.operations.changes(wish.operation_id, wish.after, size + 1)
    page: list[AssignmentChange] = []
    room = wish.max_answer_bytes - answer_size.FIELDS_BYTES
    for change in found[:size]:
        room -= _CHANGE_OVERHEAD + len(change.device_identifier.encode())
        if room < 0 and page:
            break
        page.append(change)
    last = page[-1] if len(page) < len(found) else None
    if last is None:
        return page, ""
    return page, tokens.pack("changes", last.customer_id, last.device_identifier, wish.question())
