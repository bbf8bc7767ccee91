"""The options that all writes have."""

from dataclasses import dataclass

from service.domain.errors import RevisionMoved
from service.domain.replay import Request
from service.domain.tokens import revision_token
from service.domain.values import Customer


@dataclass(frozen=True, slots=True)
class Options:
    """The key of a write, and its options.

    Attributes:
        key_id: the API key of the call.
        request_id: a UUID in lower case, or empty.
        validate_only: whether to return what would happen, and change nothing.
        note: the reason, which is stored with the operation.
        expected_revision: the revision that a customer must be at, or empty.
    """

    key_id: str
    request_id: str = ""
    validate_only: bool = False
    note: str = ""
    expected_revision: str = ""

    def request(self, method: str, *content: object) -> Request:
        """Returns what the request id stands for. A preview has no request id, so its answer is not stored."""
        request_id = "" if self.validate_only else self.request_id
        return Request(request_id, (method, self.note, self.expected_revision, *content))

    def check_revision(self, customer: Customer | None) -> None:
        """Raises `RevisionMoved` if a revision is expected and the customer does not exist or is at another one."""
        if not self.expected_revision:
            return
        if customer is None or self.expected_revision != revision_token(customer.id, customer.revision):
            raise RevisionMoved
