"""Lists what one operation changed, ordered by customer and device."""

from dataclasses import dataclass

from service.domain import tokens
from service.domain.get_operation import get_operation
from service.domain.pages import PageLimits
from service.domain.values import AssignmentChange
from service.storage.unit_of_work import UnitOfWork

# What a change takes in an answer beside the identifier.
_CHANGE_OVERHEAD = 48


@dataclass(frozen=True, slots=True)
class ListOperationChanges:
    """The query, validated. `after` is the place after which the page begins: a customer's id and an identifier."""

    operation_id: str
    limits: PageLimits
    after: tuple[str, str] = ("", "")

    def query_hash(self) -> str:
        """Returns the hash of the query that its page tokens have."""
        return tokens.query_hash(self.operation_id)

    def read_token(self, text: str) -> tuple[str, str]:
        """Reads a page token. Raises `ValueError` if it is not a token of this query."""
        customer_id, identifier, asked = tokens.unpack(text, "changes", str, str, str)
        if asked != self.query_hash():
            raise ValueError("a token of another query")
        return customer_id, identifier


def list_operation_changes(uow: UnitOfWork, query: ListOperationChanges) -> tuple[list[AssignmentChange], str]:
    """Returns one page of an operation's changes, and a token for the next.

    Raises:
        OperationNotFound: the organisation has no such operation.
    """
    get_operation(uow, query.operation_id)
    found = uow.operations.changes(query.operation_id, query.after, query.limits.members + 1)
    page: list[AssignmentChange] = []
    bytes_left = query.limits.bytes
    for change in found[: query.limits.members]:
        bytes_left -= _CHANGE_OVERHEAD + len(change.device_identifier.encode())
        if bytes_left < 0 and page:
            break
        page.append(change)
    if len(page) == len(found):
        return page, ""
    last = page[-1]
    return page, tokens.pack("changes", last.customer_id, last.device_identifier, query.query_hash())
