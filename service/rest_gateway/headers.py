"""Reads the headers of a request that concern the call."""

import re
import time
from dataclasses import dataclass

from service.grpc_client import metadata
from service.rest_gateway.errors import invalid_key, malformed
from service.rest_gateway.http_error import HTTPError
from service.rest_gateway.keys import KEY_PATTERN
from service.rest_gateway.request_state import RequestState
from service.rest_gateway.violations import Violations
from service.tracing import spans

_LONGEST_SECONDS = 3_600.0
_SECONDS = re.compile(rb"\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?")
_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,256})?")
_PRINTABLE = re.compile(rb"[ -~]{1,512}")
# If one of these occurs twice, a proxy in between may have used either.
_ONCE = (b"x-api-key", b"idempotency-key", b"x-request-timeout", b"content-type", b"content-encoding", b"last-event-id")
_JSON_TYPES = re.compile(rb"application/json(?:\s*;\s*charset\s*=\s*\"?utf-8\"?)?\s*;?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a call has beside its message.

    Attributes:
        metadata: the call's metadata, with the key.
        key: the API key; it has the form of a key.
        deadline: when the request's time is over, on the monotonic clock; None for no deadline.
    """

    metadata: tuple[tuple[str, str], ...]
    key: bytes
    deadline: float | None

    @property
    def seconds(self) -> float | None:
        """The time that is left."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


def read_context(state: RequestState, violations: Violations, seconds: float | None) -> CallContext:
    """Reads the key, the trace and the deadline; `seconds` is the deadline without `X-Request-Timeout`.

    Raises:
        HTTPError: the key is missing or does not have the form of a key, or a header is repeated.
    """
    for name in _ONCE if state.repeated else ():
        if name in state.repeated:
            raise malformed(f"The header {name.decode()} must be given once")
    headers = state.headers
    key = headers.get(b"x-api-key", b"")
    if not KEY_PATTERN.fullmatch(key):
        raise invalid_key()
    passed = [(metadata.X_REQUEST_ID, state.request_id), (metadata.API_KEY, key.decode())]
    parent = headers.get(b"traceparent")
    if spans.started():
        passed += spans.outgoing()
    elif parent is not None and _TRACE_PARENT.fullmatch(parent):
        passed.append(("traceparent", parent.decode()))
        trace_state = headers.get(b"tracestate")
        if trace_state is not None and _PRINTABLE.fullmatch(trace_state):
            passed.append(("tracestate", trace_state.decode()))
    timeout = headers.get(b"x-request-timeout")
    if timeout is not None:
        given = float(timeout) if _SECONDS.fullmatch(timeout) else 0.0
        if 0 < given <= _LONGEST_SECONDS:
            seconds = given
        else:
            violations.add(
                "X-Request-Timeout",
                f"must be a number of seconds above 0, such as 2.5, and at most {_LONGEST_SECONDS:.0f}",
            )
    return CallContext(tuple(passed), key, None if seconds is None else state.started + seconds)


def idempotency_key(state: RequestState) -> str | None:
    """Returns the header `Idempotency-Key` without quotes around it; None if it is absent."""
    given = state.headers.get(b"idempotency-key")
    if given is None:
        return None
    text = given.decode("latin-1")
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def check_body(state: RequestState, most: int) -> int:
    """Checks the type and the length that the headers declare for the body.

    Returns:
        The length; 0 if it is not declared.

    Raises:
        HTTPError: the type is not JSON, or the body is too long.
    """
    kind = state.headers.get(b"content-type")
    if kind is not None and not _JSON_TYPES.fullmatch(kind):
        raise malformed("The Content-Type must be application/json, in UTF-8", 415)
    if state.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise malformed("The body must not have a Content-Encoding", 415)
    length = state.headers.get(b"content-length")
    if length is not None and int(length) > most:
        error = too_long(most)
        if b"expect" in state.headers:
            error.headers["Connection"] = (
                "close"  # the client does not send the body, so the connection cannot be used again
            )
        raise error
    return 0 if length is None else int(length)


def too_long(most: int) -> HTTPError:
    """The body is over the limit. The rest of it is read and dropped, so that the client can read the answer."""
    return malformed(f"The body must have at most {most} bytes", 413)
