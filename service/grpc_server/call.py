"""The call that a thread serves, and its line in the log."""

import secrets
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from service.domain import errors
from service.domain.cancellation import Cancellation
from service.domain.errors import ApiKeyInvalid, InternalError, ServiceError
from service.domain.keys import Principal
from service.grpc_client.metadata import KEY_CHECK
from service.grpc_server import status
from service.method_table import RPCS
from service.metrics import numbers
from service.runtime import log
from service.runtime.log_limits import LogLimits
from service.tracing import spans


def _reason(error: type[ServiceError]) -> str:
    return error.reason.removeprefix("ERROR_REASON_").lower()


@dataclass(slots=True, eq=False)
class Call:
    """What is known of a call while it is served.

    Attributes:
        method: its full name, `package.Service/Method`.
        id: its id in the log and in errors.
        x_request_id: the caller's own id of it, if it has a form that the log accepts.
        principal: whose key it has; None until the key is checked.
        counts: what the log has of it besides, such as how many devices it changed.
        recheck: checks the key again, for streams. Raises `ApiKeyInvalid` if it is not valid any more.
        cancel: ends a stream from another thread.
        span: its span, if spans are made.
    """

    method: str
    cancellation: Cancellation
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    x_request_id: str | None = None
    principal: Principal | None = None
    counts: dict[str, int | bool | str] = field(default_factory=dict)
    recheck: Callable[[], None] = lambda: None
    cancel: Callable[[], object] = lambda: None
    span: Any = None


_RPCS = {name: name.rpartition("/")[2] for name in (*RPCS, KEY_CHECK)}
_REFUSALS = (
    errors.ApiKeyInvalid,
    errors.ScopeMissing,
    errors.RateLimited,
    errors.Overloaded,
    errors.Stopping,
    errors.MessageTimeout,
    errors.RequestTooLarge,
    errors.UnknownMethod,
)
_CALLS = numbers.counter("calls", "Calls that have ended.", rpc=(*_RPCS.values(), numbers.OTHER), status=status.NAMES)
_SECONDS = numbers.histogram(
    "call_duration_seconds",
    "How long calls took, from their headers to their end; streams are not counted.",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    rpc=(*_RPCS.values(), numbers.OTHER),
)
_REFUSED = numbers.counter(
    "calls_refused", "Calls that were refused before any work.", reason=[_reason(error) for error in _REFUSALS]
)

_CALL_ID = "device_assignment.call_id"
# Those that OpenTelemetry's conventions count as errors of a server.
_FAILURES = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})

_current: ContextVar[Call] = ContextVar("call")

# How many calls without a valid key the log has in a second, for each reason. Expired and revoked keys are counted
# apart, so that a flood of invented keys leaves none of them out.
_without_key = LogLimits(10)


def current() -> tuple[Call, Principal]:
    """Returns the call that this thread serves, and whose key it has. Servicers use it, after the interceptor."""
    call = _current.get()
    if call.principal is None:
        raise LookupError("the call's key has not been checked")
    return call, call.principal


def enter(call: Call) -> None:
    """Makes a call the current one. gRPC runs each call in a context of its own, so this is never undone."""
    _current.set(call)


def key_id() -> str:
    """Returns the id of the current call's key."""
    return current()[1].key_id


def has_optional_scopes() -> bool:
    """Returns whether the current call's key may see all fields of the answer."""
    call, principal = current()
    return principal.scopes.issuperset(RPCS[call.method].optional_scopes)


def count(**counts: int | bool | str) -> None:
    """Adds numbers, or other fields, to the current call's line in the log."""
    current()[0].counts.update(counts)


def begin_span(call: Call, metadata: Iterable[tuple[str, str | bytes]], since: float) -> None:
    """Begins the span of a call whose headers came at `since`, on `time.monotonic`'s clock."""
    service, _, name = call.method.partition("/")
    attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name, _CALL_ID: call.id}
    call.span = spans.begin(call.method, metadata, since, attributes)


def _end_span(call: Call, status_name: str, error: ServiceError | None) -> None:
    attributes = {
        "rpc.grpc.status_code": status.number_of(error),
        "device_assignment.organization_id": call.principal and call.principal.organization_id,
        "device_assignment.reason": error and error.reason,
    }
    spans.end(call.span, attributes, failed=status_name in _FAILURES)
    call.span = None


def _count(call: Call, status_name: str, seconds: float, error: ServiceError | None) -> None:
    """Counts a call that has ended, for Prometheus."""
    rpc = _RPCS.get(call.method, numbers.OTHER)
    _CALLS.add(1, rpc, status_name)
    if "sent" not in call.counts:
        _SECONDS.observe(seconds, rpc)
    if isinstance(error, _REFUSALS):
        _REFUSED.add(1, _reason(type(error)))


def log_end(call: Call, started: float, error: ServiceError | None) -> None:
    """Logs a call that has ended, with its duration since `started`, on `time.monotonic`'s clock.

    Only some of many calls without a valid key are logged.
    """
    seconds = time.monotonic() - started
    status_name = "OK" if error is None else status.name_of(error)
    if numbers.started():
        _count(call, status_name, seconds, error)
    if call.span is not None:
        _end_span(call, status_name, error)
    refused = error.refused if isinstance(error, ApiKeyInvalid) else None
    if call.principal is None and not isinstance(error, InternalError):
        left_out = _without_key.admit((error and error.reason, refused and refused.state))
        if left_out is None:
            return
        if left_out:
            call.counts["left_out"] = left_out
    log.access(
        "call",
        method=call.method,
        status=status_name,
        reason=None if error is None else error.reason,
        duration_ms=round(seconds * 1000, 3),
        organization_id=call.principal and call.principal.organization_id,
        key_id=refused.key_id if refused else call.principal and call.principal.key_id,
        key_state=refused and refused.state,
        call_id=call.id,
        x_request_id=call.x_request_id,
        **call.counts,
    )
