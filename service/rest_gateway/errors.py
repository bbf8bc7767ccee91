"""The errors of the gateway itself. `call_errors.py` makes those of calls that failed."""

from http import HTTPStatus

from deviceassignment.v1.errors_pb2 import ErrorReason

from service.rest_gateway.http_error import HTTPError
from service.rest_gateway.violations import Violations

_RETRY_SOON = {"Retry-After": "1"}


def malformed(text: str, status: int = HTTPStatus.BAD_REQUEST) -> HTTPError:
    """The request cannot be read."""
    return HTTPError(status, text, ErrorReason.Name(ErrorReason.ERROR_REASON_MALFORMED_REQUEST))


def invalid_fields(violations: Violations) -> HTTPError:
    """Fields of the request are wrong. The error has the form of the server's own."""
    first = "; ".join(f"{path}: {text}" for path, text in violations.listed[:3])
    more = violations.total - min(3, len(violations.listed))
    omitted = violations.total - len(violations.listed)
    text = f"The request is not valid: {first}"
    if more:
        text += f"; and at least {more} more" if omitted else f"; and {more} more"
    return HTTPError(
        HTTPStatus.BAD_REQUEST,
        text,
        ErrorReason.Name(ErrorReason.ERROR_REASON_INVALID_FIELDS),
        violations.listed,
        {"violationsOmitted": omitted} if omitted else {},
    )


def invalid_key() -> HTTPError:
    """The key is missing, or does not have the form of a key. The error equals the server's for an unknown key."""
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_API_KEY_INVALID)
    return HTTPError(HTTPStatus.UNAUTHORIZED, "A valid API key is required in the header x-api-key", reason)


def body_too_slow() -> HTTPError:
    """The body did not arrive within the request's deadline."""
    return malformed("The body did not arrive in time; send it faster, or give a longer X-Request-Timeout", 408)


def too_many_requests() -> HTTPError:
    """The key has reached its limit of requests in progress."""
    return _overloaded("This API key has too many requests in progress; wait for answers to some of them")


def too_many_calls() -> HTTPError:
    """The organisation has reached its limit of calls in flight to the server."""
    return _overloaded("Too many calls of this organization are in progress; wait for answers to some of them")


def too_many_bodies() -> HTTPError:
    """The organisation has reached its limit of long bodies that wait to be parsed."""
    return _overloaded("Too many request bodies of this organization wait to be read; send fewer at once")


def no_capacity() -> HTTPError:
    """The gateway has reached its limit of calls in flight to the server."""
    return _overloaded("The gateway has too many calls in progress; retry later")


def too_many_connections() -> HTTPError:
    """The gateway has reached its limit of connections, and each has a request in progress."""
    return _overloaded("The gateway has too many connections; retry later")


def too_many_keys() -> HTTPError:
    """The gateway has reached its limit of unknown keys that wait to be checked."""
    return _overloaded("Too many unknown API keys are being checked; retry later")


def out_of_memory() -> HTTPError:
    """The bodies and answers in memory have reached their limit."""
    text = "Too many large bodies and answers are in memory; repeat the call with the same requestId in a moment"
    return _overloaded(text)


def _overloaded(text: str) -> HTTPError:
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_OVERLOADED)
    return HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, text, reason, headers=dict(_RETRY_SOON))


def unknown_path() -> HTTPError:
    """The path does not exist."""
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_UNKNOWN_METHOD)
    return HTTPError(HTTPStatus.NOT_FOUND, "There is nothing at this path", reason)


def wrong_method(allowed: str) -> HTTPError:
    """The path has other methods."""
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_UNKNOWN_METHOD)
    text = f"This path takes {allowed} only"
    return HTTPError(HTTPStatus.METHOD_NOT_ALLOWED, text, reason, headers={"Allow": allowed})


def internal() -> HTTPError:
    """The gateway or the server has a defect."""
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_INTERNAL)
    text = "Something went wrong inside the service; quote the callId when you report it"
    return HTTPError(HTTPStatus.INTERNAL_SERVER_ERROR, text, reason)


def stopping() -> HTTPError:
    """The gateway stops while a stream is open."""
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_STOPPING)
    return HTTPError(
        HTTPStatus.SERVICE_UNAVAILABLE, "The server is stopping; resume the stream with its last id", reason
    )


def unavailable() -> HTTPError:
    """The server cannot be reached, or the connection broke during the call."""
    text = "The service cannot be reached now; repeat the call with the same requestId in a moment"
    return HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, text, headers=dict(_RETRY_SOON))


def deadline_exceeded() -> HTTPError:
    """The server did not answer within the request's deadline."""
    reason = ErrorReason.Name(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED)
    text = "The service did not answer in time; repeat the call with the same requestId"
    return HTTPError(HTTPStatus.GATEWAY_TIMEOUT, text, reason)


def not_ready(away: str, text: str, cause: str = "") -> HTTPError:
    """A call would fail now. `away` names what is missing, for programs."""
    return HTTPError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"The service is not ready: {text}",
        metadata={"away": away},
        headers=dict(_RETRY_SOON),
        cause=cause,
    )
