"""The outermost ASGI middleware: sets the id and the state of each request, adds headers to each response, and logs."""

import re
import secrets
import time
from collections import Counter
from collections.abc import Iterable
from http import HTTPMethod, HTTPStatus
from typing import Any

from service.grpc_client.metadata import LOGGED_REQUEST_ID, X_REQUEST_ID
from service.metrics import numbers
from service.rest_gateway.asgi import ASGIApp, Message, Receive, Scope, Send
from service.rest_gateway.health import LIVE, READY
from service.rest_gateway.http_error import CLIENT_CLOSED_REQUEST
from service.rest_gateway.request_state import RequestState
from service.rest_gateway.routes import ROUTES
from service.runtime import log
from service.runtime.log_limits import LogLimits
from service.tracing import spans

# How many requests without a valid key are logged in a second, for each status.
_LOGGED_UNAUTHENTICATED = 10
# The scheme and authority of a request target in absolute form (RFC 9112, 3.2.2).
_AUTHORITY = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
# The page at /docs sets headers of its own.
_RPCS = {route.full_path: route.rpc.rpartition(".")[2] for route in ROUTES}
_STREAMS = frozenset({_RPCS[route.full_path] for route in ROUTES if route.method.server_streaming})
_REQUESTS = numbers.counter(
    "rest_requests",
    "Requests to the REST gateway, by the rpc that they are for; others are those of probes, pages and unknown paths.",
    rpc=(*_RPCS.values(), numbers.OTHER),
    code=(*(str(status.value) for status in HTTPStatus), str(CLIENT_CLOSED_REQUEST), numbers.OTHER),
)
_SECONDS = numbers.histogram(
    "rest_request_duration_seconds",
    "How long requests to the REST gateway took; streams are not counted.",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    rpc=(*_RPCS.values(), numbers.OTHER),
)
_METHODS = frozenset(HTTPMethod)
_TRACE = ("traceparent", "tracestate")
_PROBES = frozenset({LIVE, READY})
_DEFAULT_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class RequestMiddleware:
    """Serves every request through another application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._unauthenticated = LogLimits(_LOGGED_UNAUTHENTICATED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        _to_origin_form(scope)
        headers = dict(reversed(scope["headers"]))
        given = headers.get(X_REQUEST_ID.encode(), b"").decode("latin-1")
        request_id = given if LOGGED_REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        state = RequestState(request_id, headers, started=scope.get("started") or time.monotonic())
        if len(headers) != len(scope["headers"]):
            state.repeated = _repeated(scope["headers"])
        scope["request_state"] = state
        span = _begin_span(scope, state) if spans.started() and scope["path"] not in _PROBES else None

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                state.status = message["status"]
                own = message["headers"]
                named = {name for name, _ in own}
                added = [header for header in _DEFAULT_HEADERS if header[0] not in named]
                message["headers"] = [*own, *added, (X_REQUEST_ID.encode(), request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            _count(state)
            if span is not None:
                _end_span(span, _method(scope), state)
            if state.route not in _PROBES:
                left_out = 0 if state.authenticated else self._unauthenticated.admit(state.status)
                if left_out is not None:
                    _log(scope["method"], state, left_out)


def _method(scope: Scope) -> str:
    """Returns the method, or what OpenTelemetry's conventions have for one that a caller has made up."""
    method: str = scope["method"]
    return method if method in _METHODS else "_OTHER"


def _begin_span(scope: Scope, state: RequestState) -> Any:
    parents = [
        (name, state.headers[name.encode()].decode("latin-1")) for name in _TRACE if name.encode() in state.headers
    ]
    attributes = {"http.request.method": _method(scope), "device_assignment.x_request_id": state.request_id}
    return spans.begin(_method(scope), parents, state.started, attributes)


def _end_span(span: Any, method: str, state: RequestState) -> None:
    code = state.status or CLIENT_CLOSED_REQUEST
    attributes = {"http.response.status_code": code, "http.route": state.route or None}
    failed = code >= HTTPStatus.INTERNAL_SERVER_ERROR
    spans.end(span, attributes, name=f"{method} {state.route}".strip(), failed=failed)


def _count(state: RequestState) -> None:
    """Counts a request, for Prometheus."""
    rpc = _RPCS.get(state.route, numbers.OTHER)
    _REQUESTS.add(1, rpc, str(state.status or CLIENT_CLOSED_REQUEST))
    if rpc not in _STREAMS:
        _SECONDS.observe(time.monotonic() - state.started, rpc)


def _log(method: str, state: RequestState, left_out: int) -> None:
    error = state.error
    log.info(
        "request",
        method=method,
        path=state.route or None,
        status=state.status or CLIENT_CLOSED_REQUEST,
        reason=error.reason if error else None,
        duration_ms=round((time.monotonic() - state.started) * 1000, 3),
        x_request_id=state.request_id,
        call_id=error.metadata.get("callId") if error else None,
        cause=error.cause if error else None,
        left_out=left_out or None,
    )


def _repeated(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    count = Counter(name for name, _ in headers)
    return frozenset(name for name, times in count.items() if times > 1)


def _to_origin_form(scope: Scope) -> None:
    """Removes the scheme and the authority from a request target in absolute form."""
    found = _AUTHORITY.match(scope["raw_path"])
    if found is not None:
        raw = scope["raw_path"][found.end() :]
        # The server has decoded the whole target; the authority contains nothing that decodes to a slash.
        path = "/" + scope["path"].partition("://")[2].partition("/")[2]
        scope["raw_path"], scope["path"] = raw or b"/", path
