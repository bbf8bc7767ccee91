"""What a call that failed is answered with: the one table from gRPC's statuses to HTTP's, and the JSON of an error."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2
from deviceassignment.v1.errors_pb2 import ErrorReason

from service.grpc_client.failure import CallFailed
from service.rest_gateway.violations import Violations, member
from service.rest_gateway.writer import to_text

CLIENT_CLOSED_REQUEST = 499
"""The status of a call whose caller went away. Nobody gets it; the log has it."""

STATUSES: dict[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "UNIMPLEMENTED": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": CLIENT_CLOSED_REQUEST,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

_JSON_NAMES = {
    field.name: field.json_name
    for file in (device_assignment_pb2, customer_pb2, device_pb2)
    for message in file.DESCRIPTOR.message_types_by_name.values()
    for field in message.fields
    if field.name != field.json_name
} | {"call_id": "callId"}
_NAME = re.compile(r"[a-z]+(?:_[a-z]+)+")
_MAP_MEMBER = re.compile(r"(\w+)\[(\d+)\](?:\.\w+)?")


@dataclass(eq=False)
class Refused(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP's.
        text: a sentence for people.
        reason: the `ErrorReason`; empty where none fits.
        violations: what is wrong, by JSON path; the first of them.
        metadata: what else is told, by JSON name.
        headers: of the answer.
        cause: what the log has of it, and the caller has not.
    """

    status: int
    text: str
    reason: str = ""
    violations: Sequence[tuple[str, str]] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cause: str = ""

    def body(self, request_id: str = "") -> bytes:
        """Returns the JSON of the answer, with a line break at the end.

        Args:
            request_id: the id of the request, for an answer that has no call id of the service.
        """
        told: dict[str, Any] = {"error": self.text}
        if self.reason:
            told["reason"] = self.reason
        if self.violations:
            told["violations"] = [{"field": path, "description": text} for path, text in self.violations]
        if request_id:
            told["callId"] = request_id
        return to_text({**told, **self.metadata}).encode("utf-8", "replace") + b"\n"


def malformed(text: str, status: int = HTTPStatus.BAD_REQUEST) -> Refused:
    """A request that could not be read."""
    return Refused(status, text, ErrorReason.Name(ErrorReason.ERROR_REASON_MALFORMED_REQUEST))


def invalid(violations: Violations) -> Refused:
    """A request with fields that are wrong; told as the service itself tells it."""
    first = "; ".join(f"{path}: {text}" for path, text in violations.listed[:3])
    more = violations.total - min(3, len(violations.listed))
    omitted = violations.total - len(violations.listed)
    text = f"The request is not valid: {first}"
    if more:
        text += f"; and at least {more} more" if omitted else f"; and {more} more"
    metadata = {"violationsOmitted": omitted} if omitted else {}
    return Refused(
        HTTPStatus.BAD_REQUEST,
        text,
        ErrorReason.Name(ErrorReason.ERROR_REASON_INVALID_FIELDS),
        violations.listed,
        metadata,
    )


def no_key() -> Refused:
    """The key is missing, or no key has its form; told as the service tells of a wrong one."""
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_API_KEY_INVALID)
    return Refused(HTTPStatus.UNAUTHORIZED, "A valid API key is required in the header x-api-key", reason)


def body_too_slow() -> Refused:
    """The body did not arrive within the request's deadline. What comes of it later is read and dropped for a while."""
    return malformed("The body did not arrive in time; send it faster, or give a longer X-Request-Timeout", 408)


def too_many_requests() -> Refused:
    """The key has as many requests in progress as one key may have."""
    return _overloaded("This API key has too many requests in progress; wait for answers to some of them")


def too_many_calls() -> Refused:
    """The organisation has as many calls at the service as it may have through the gateway."""
    return _overloaded("Too many calls of this organization are in progress; wait for answers to some of them")


def too_many_bodies() -> Refused:
    """The organisation has as many bodies waiting to be read as it may have."""
    return _overloaded("Too many request bodies of this organization wait to be read; send fewer at once")


def no_capacity() -> Refused:
    """The calls at the service have reached their limit."""
    return _overloaded("The gateway has too many calls in progress; retry later")


def too_many_connections() -> Refused:
    """Each connection that the gateway takes on has a request in progress."""
    return _overloaded("The gateway has too many connections; retry later")


def too_many_keys() -> Refused:
    """The gateway has more unknown keys to ask about than it takes on."""
    return _overloaded("Too many unknown API keys are being checked; retry later")


def no_room() -> Refused:
    """The bodies and answers in memory have reached their ceiling."""
    text = "Too many large bodies and answers are in memory; repeat the call with the same requestId in a moment"
    return _overloaded(text)


def _overloaded(text: str) -> Refused:
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_OVERLOADED)
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, text, reason, headers={"Retry-After": "1"})


def unknown_path() -> Refused:
    """No such path."""
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_UNKNOWN_METHOD)
    return Refused(HTTPStatus.NOT_FOUND, "There is nothing at this path", reason)


def wrong_method(allowed: str) -> Refused:
    """A path that has other methods."""
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_UNKNOWN_METHOD)
    text = f"This path takes {allowed} only"
    return Refused(HTTPStatus.METHOD_NOT_ALLOWED, text, reason, headers={"Allow": allowed})


def defect() -> Refused:
    """A defect of the gateway or of the service."""
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_INTERNAL)
    text = "Something went wrong inside the service; quote the callId when you report it"
    return Refused(HTTPStatus.INTERNAL_SERVER_ERROR, text, reason)


def stopping() -> Refused:
    """The gateway stops while a stream is open."""
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_STOPPING)
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "The server is stopping; resume the stream with its last id", reason)


def away() -> Refused:
    """The service cannot be reached, or went away during the call."""
    text = "The service cannot be reached now; repeat the call with the same requestId in a moment"
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"Retry-After": "1"})


def too_slow() -> Refused:
    """The service did not answer within the request's deadline."""
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED)
    text = "The service did not answer in time; repeat the call with the same requestId"
    return Refused(HTTPStatus.GATEWAY_TIMEOUT, text, reason)


def not_ready(away: str, text: str, cause: str = "") -> Refused:
    """A call would not be served now; `away` names what is missing, for programs."""
    return Refused(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"The service is not ready: {text}",
        metadata={"away": away},
        headers={"Retry-After": "1"},
        cause=cause,
    )


def told(failed: CallFailed, map_field: str = "", keys: Sequence[str] = ()) -> Refused:
    """Tells a call's failure in the words of JSON.

    Args:
        failed: the failure.
        map_field: a list of the request that JSON has as an object.
        keys: the names of that object's members, in the list's order.
    """
    if not failed.reason:
        refused = _unspoken(failed)
        refused.cause = f"{failed.code}: {failed.text}"
        return refused
    headers = {} if failed.retry_seconds is None else {"Retry-After": str(max(1, math.ceil(failed.retry_seconds)))}

    def path(name: str) -> str:
        found = _MAP_MEMBER.fullmatch(name)
        if found and found[1] == map_field and int(found[2]) < len(keys):
            return member(map_field, keys[int(found[2])])
        return _json_names(name)

    violations = [(path(name), _json_names(description)) for name, description in failed.violations]
    text = _json_names(failed.text).replace("the metadata x-api-key", "the header x-api-key")
    if violations:
        # The sentence ends in the first of them, under their names in the proto.
        omitted = int(failed.metadata.get("violations_omitted", "0"))
        first = "; ".join(f"{name}: {description}" for name, description in violations[:3])
        more = max(0, len(violations) - 3) + omitted
        text = f"{text.partition(': ')[0]}: {first}" + (f"; and {more} more" if more else "")
    metadata = {_camel(name): int(value) if value.isdecimal() and name != "call_id" else value
                for name, value in failed.metadata.items()}  # fmt: skip
    return Refused(STATUSES.get(failed.code, 500), text, failed.reason, violations, metadata, headers)


def _unspoken(failed: CallFailed) -> Refused:
    """Words what gRPC, or something between, says: that names addresses and libraries."""
    match failed.code:
        case "UNAVAILABLE" | "CANCELLED":
            # Cancelled from the other side, that is: who cancels here does not wait for an answer.
            return away()
        case "DEADLINE_EXCEEDED":
            return too_slow()
        case "RESOURCE_EXHAUSTED" if "larger than max" in failed.text:
            return malformed("The request is bigger than the service takes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        case "RESOURCE_EXHAUSTED":
            reason = ErrorReason.Name(ErrorReason.ERROR_REASON_OVERLOADED)
            text = "The service has more to do than it can take; retry later"
            return Refused(HTTPStatus.TOO_MANY_REQUESTS, text, reason, headers={"Retry-After": "1"})
        case "UNIMPLEMENTED":
            return unknown_path()
    return defect()


def _json_names(text: str) -> str:
    return _NAME.sub(lambda found: _JSON_NAMES.get(found[0], found[0]), text)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
