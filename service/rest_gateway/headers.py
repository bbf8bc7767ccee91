"""What a request's headers mean to the call."""

import re
import time
from dataclasses import dataclass

from service.grpc_client import metadata
from service.rest_gateway.exchange import Exchange
from service.rest_gateway.failures import Refused, malformed, no_key
from service.rest_gateway.keys import FORM
from service.rest_gateway.violations import Violations

_LONGEST_SECONDS = 3_600.0
_SECONDS = re.compile(rb"\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?")
_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,256})?")
_PRINTABLE = re.compile(rb"[ -~]{1,512}")
# A second one would have another meaning, and something in front may have gone by either.
_ONCE = (b"x-api-key", b"idempotency-key", b"x-request-timeout", b"content-type", b"content-encoding", b"last-event-id")
_JSON_TYPES = re.compile(rb"application/json(?:\s*;\s*charset\s*=\s*\"?utf-8\"?)?\s*;?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Context:
    """What goes beside a message.

    Attributes:
        metadata: of the call, the key included.
        key: the API key, which has the form of one.
        deadline: when the request's time is over, on the monotonic clock; None for a request without end.
    """

    metadata: tuple[tuple[str, str], ...]
    key: bytes
    deadline: float | None

    @property
    def seconds(self) -> float | None:
        """How much of the request's time is left."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


def context(exchange: Exchange, violations: Violations, seconds: float | None) -> Context:
    """Reads the key, the trace and the deadline; `seconds` is the deadline of a request that names none.

    Raises:
        Refused: there is no key, or no key has its form; or a header is there twice.
    """
    for name in _ONCE if exchange.repeated else ():
        if name in exchange.repeated:
            raise malformed(f"The header {name.decode()} must be given once")
    headers = exchange.headers
    key = headers.get(b"x-api-key", b"")
    if not FORM.fullmatch(key):
        raise no_key()
    passed = [(metadata.X_REQUEST_ID, exchange.request_id), (metadata.API_KEY, key.decode())]
    parent = headers.get(b"traceparent")
    if parent is not None and _TRACE_PARENT.fullmatch(parent):
        passed.append(("traceparent", parent.decode()))
        state = headers.get(b"tracestate")
        if state is not None and _PRINTABLE.fullmatch(state):
            passed.append(("tracestate", state.decode()))
    timeout = headers.get(b"x-request-timeout")
    if timeout is not None:
        given = float(timeout) if _SECONDS.fullmatch(timeout) else 0.0
        if 0 < given <= _LONGEST_SECONDS:
            seconds = given
        else:
            violations.wrong(
                "X-Request-Timeout",
                f"must be a number of seconds above 0, such as 2.5, and at most {_LONGEST_SECONDS:.0f}",
            )
    return Context(tuple(passed), key, None if seconds is None else exchange.started + seconds)


def idempotency_key(exchange: Exchange) -> str | None:
    """Gives the header `Idempotency-Key`, with or without quotes; None if there is none."""
    given = exchange.headers.get(b"idempotency-key")
    if given is None:
        return None
    text = given.decode("latin-1")
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def check_body(exchange: Exchange, most: int) -> int:
    """Refuses a body that is not JSON by its own word, or too long.

    Returns:
        Its length; 0 if that is not told.

    Raises:
        Refused: the body cannot be read.
    """
    kind = exchange.headers.get(b"content-type")
    if kind is not None and not _JSON_TYPES.fullmatch(kind):
        raise malformed("The Content-Type must be application/json, in UTF-8", 415)
    if exchange.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise malformed("The body must not have a Content-Encoding", 415)
    length = exchange.headers.get(b"content-length")
    if length is not None and int(length) > most:
        refused = too_long(most)
        if b"expect" in exchange.headers:
            refused.headers["Connection"] = "close"  # the body will not come, so the connection is of no more use
        raise refused
    return 0 if length is None else int(length)


def too_long(most: int) -> Refused:
    """A body over the limit. What is left of it is read and dropped, so that the caller gets to see this."""
    return malformed(f"The body must have at most {most} bytes", 413)
