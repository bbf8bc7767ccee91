"""The errors that callers see.

ServiceError
├── InvalidFields            fields missing or malformed, all of them named
├── MalformedRequest         the bytes are not a message of the type
├── RequestTooLarge          more bytes or fields than the method takes
├── MessageTimeout           the message was not complete in time
├── RequestIdReused          a request id with other content
├── DevicesSkipped           `require_all`, and a device would be skipped
├── ApiKeyInvalid            missing, unknown, expired or revoked: one text for all
├── ScopeMissing             the key may not do this
├── CustomerNotFound         not in this organisation
├── DeviceNotFound           not in this organisation
├── OperationNotFound        not in this organisation
├── HistoryPruned            the time or the operation lies before what is kept
├── DeviceNotAssigned        a single device is not assigned to the customer
├── CountDiffers             `expected_count` differs
├── EmailTaken               another customer has the address
├── RevisionMoved            `expected_revision` differs
├── Conflict                 a conflict with other transactions; nothing changed; retry
├── RateLimited              the key's rate is used up
├── Overloaded               more calls or streams than the server can take
├── Cancelled                the caller cancelled the call or disconnected
├── DeadlineExceeded         the caller's deadline passed
├── DatabaseUnavailable      the database cannot be reached
├── Stopping                 the server stops
├── OutcomeUnknown           the database did not confirm a commit
├── UnknownMethod            no such rpc
└── InternalError            a defect; the cause is in the log only

`reason` is the name of a value of the proto enum `ErrorReason`; `grpc_server/status.py` maps each class to its status.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from service.domain.keys import RefusedKey

SHOWN_VIOLATIONS = 20
"""How many violations an error names; the others are counted. Peers limit the size of trailers."""

NAMED_IN_TEXT = 3
"""How many of them the error's sentence names."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong with one field: its path (`device_identifiers[3]`) and what to do about it."""

    field: str
    description: str


class ServiceError(Exception):
    """A call that fails with a specific status. `text` is shown to the caller and holds none of the caller's data."""

    reason: ClassVar[str]
    text: str = ""
    retry_after_seconds: float | None = None

    def __init__(self, text: str = "", *, retry_after_seconds: float | None = None) -> None:
        self.text = text or self.text
        if retry_after_seconds is not None:
            self.retry_after_seconds = retry_after_seconds
        super().__init__(self.text)


class Violated(ServiceError):
    """An error that names the places in the request that caused it: the first 20, and how many more there are."""

    def __init__(self, violations: Sequence[Violation], total: int | None = None) -> None:
        self.violations = violations[:SHOWN_VIOLATIONS]
        self.omitted = (len(violations) if total is None else total) - len(self.violations)
        listed = "; ".join(f"{v.field}: {v.description}" for v in self.violations[:NAMED_IN_TEXT])
        unlisted = len(self.violations) - NAMED_IN_TEXT + self.omitted
        more = f"; and {unlisted} more" if unlisted > 0 else ""
        super().__init__(f"{self.text}: {listed}{more}")


class InvalidFields(Violated):
    reason = "ERROR_REASON_INVALID_FIELDS"
    text = "The request is not valid"


class DevicesSkipped(Violated):
    reason = "ERROR_REASON_DEVICES_SKIPPED"
    text = "Nothing was changed, because require_all is set and not every device is assigned to the customer"


class MalformedRequest(ServiceError):
    reason = "ERROR_REASON_MALFORMED_REQUEST"
    text = "The request could not be read: it is not a message of this method's request type"


class RequestTooLarge(ServiceError):
    reason = "ERROR_REASON_REQUEST_TOO_LARGE"


class MessageTimeout(ServiceError):
    reason = "ERROR_REASON_MESSAGE_TIMEOUT"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The request's message was not complete within {seconds:g} seconds; send it again")


class RequestIdReused(ServiceError):
    reason = "ERROR_REASON_REQUEST_ID_REUSED"
    text = "This request_id was used before for a different request; use a new one for a new request"


class ApiKeyInvalid(ServiceError):
    """Callers get one text for every bad key. `refused` is for the log."""

    reason = "ERROR_REASON_API_KEY_INVALID"
    text = "A valid API key is required in the metadata x-api-key"
    refused: RefusedKey | None = None


class ScopeMissing(ServiceError):
    reason = "ERROR_REASON_SCOPE_MISSING"

    def __init__(self, scopes: Sequence[str]) -> None:
        self.scopes = scopes
        named = f"the scope{'s' if len(scopes) > 1 else ''} {', '.join(scopes)}"
        super().__init__(f"The API key lacks {named}" if scopes else "No API key may call this method")


class CustomerNotFound(ServiceError):
    reason = "ERROR_REASON_CUSTOMER_NOT_FOUND"
    text = "The organisation has no such customer"


class DeviceNotFound(ServiceError):
    reason = "ERROR_REASON_DEVICE_NOT_FOUND"
    text = "The organisation has no such device"


class OperationNotFound(ServiceError):
    reason = "ERROR_REASON_OPERATION_NOT_FOUND"
    text = "The organisation has no such operation"


class HistoryPruned(ServiceError):
    reason = "ERROR_REASON_HISTORY_PRUNED"

    def __init__(self, kept_since: datetime) -> None:
        self.kept_since = kept_since
        super().__init__(
            f"The history before {kept_since.isoformat()} has been removed; ask about a later time, or watch from_now"
        )


class DeviceNotAssigned(ServiceError):
    reason = "ERROR_REASON_DEVICE_NOT_ASSIGNED"
    text = "The device is not assigned to the customer"


class CountDiffers(ServiceError):
    reason = "ERROR_REASON_COUNT_DIFFERS"

    def __init__(self, device_count: int) -> None:
        self.device_count = device_count
        super().__init__(f"Nothing was changed, because the customer has {device_count} device(s), not expected_count")


class EmailTaken(ServiceError):
    reason = "ERROR_REASON_EMAIL_TAKEN"
    text = "Another customer of the organisation has this e-mail address"


class RevisionMoved(ServiceError):
    reason = "ERROR_REASON_REVISION_MOVED"
    text = "The customer's assignments have changed since expected_revision; read them again before deciding"


class Conflict(ServiceError):
    reason = "ERROR_REASON_CONFLICT"
    text = "The call conflicted with others on the same data and changed nothing; retry it"
    retry_after_seconds = 0.1


class RateLimited(ServiceError):
    reason = "ERROR_REASON_RATE_LIMITED"
    text = "The API key's rate limit is used up; retry later"


class Overloaded(ServiceError):
    reason = "ERROR_REASON_OVERLOADED"
    text = "The server is overloaded; retry later"
    retry_after_seconds = 1.0


class Cancelled(ServiceError):
    reason = "ERROR_REASON_CANCELLED"
    text = "The call was cancelled; repeat it with the same request_id to get its result"


class DeadlineExceeded(ServiceError):
    reason = "ERROR_REASON_DEADLINE_EXCEEDED"
    text = "The deadline passed; repeat the call with the same request_id to get its result"


class DatabaseUnavailable(ServiceError):
    reason = "ERROR_REASON_DATABASE_UNAVAILABLE"
    text = "The database is not available; retry later"
    retry_after_seconds = 1.0


class OutcomeUnknown(ServiceError):
    reason = "ERROR_REASON_OUTCOME_UNKNOWN"
    text = "The database did not confirm the commit; repeat the call with the same request_id to get its result"
    retry_after_seconds = 1.0


class Stopping(ServiceError):
    reason = "ERROR_REASON_STOPPING"
    text = "The server is stopping; send the call again, or resume the stream with its last resume_token"
    retry_after_seconds = 1.0


class UnknownMethod(ServiceError):
    reason = "ERROR_REASON_UNKNOWN_METHOD"
    text = "The server has no such method"


class InternalError(ServiceError):
    reason = "ERROR_REASON_INTERNAL"
    text = "Something went wrong inside the service; quote the call_id when you report it"
