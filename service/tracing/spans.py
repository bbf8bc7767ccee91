"""The spans of calls, requests and statements, with W3C Trace Context in and out.

OpenTelemetry is an optional part of the installation, so this module imports it only when tracing is started. Until
then no function but `started` is called, which reads a variable.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from service.runtime import log
from service.runtime.operator_error import OperatorError

if TYPE_CHECKING:
    from service.tracing.exporter import Tracing

_PACKAGE = "opentelemetry.exporter.otlp.proto.grpc"

_tracing: "Tracing | None" = None


class TracingUnavailable(OperatorError):
    """Spans cannot be sent; the text says why."""


def check(endpoint: str) -> None:
    """Checks, without connecting, whether spans can be sent to an endpoint; an empty one is none.

    Raises:
        TracingUnavailable: the endpoint has not the right form, or OpenTelemetry is not installed.
    """
    if not endpoint:
        return
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and bool(parts.port)
    except ValueError:
        good = False
    if not good:
        raise TracingUnavailable(
            "the endpoint for traces must be http://HOST:PORT or, with TLS, https://HOST:PORT, such as "
            "http://127.0.0.1:4317"
        )
    try:
        found = find_spec(_PACKAGE)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise TracingUnavailable(
            "an endpoint for traces is set, but OpenTelemetry is not installed: install the extra `tracing` "
            "(pip install 'device-assignment[tracing]'), or leave the endpoint out"
        )


def start(endpoint: str, process: str) -> None:
    """Sends spans to an endpoint from now on, if one is given. Call it after the process has been forked.

    Raises:
        TracingUnavailable: as `check` does.
    """
    global _tracing  # noqa: PLW0603  # a process has one exporter
    check(endpoint)
    if endpoint:
        from service.tracing.exporter import Tracing  # noqa: PLC0415  # see above

        _tracing = Tracing(endpoint, process)
        log.add_trace_id(_tracing.trace_id)


def stop() -> None:
    """Sends the spans that wait, if the endpoint takes them in time, and ends tracing."""
    global _tracing  # as above
    if _tracing is not None:
        log.add_trace_id(None)
        tracing, _tracing = _tracing, None
        tracing.close()


def started() -> bool:
    """Returns whether spans are made."""
    return _tracing is not None


def begin(name: str, metadata: Iterable[tuple[str, str | bytes]], since: float, attributes: Mapping[str, Any]) -> Any:
    """Begins the span of a call or a request and makes it the current one of this context, for good.

    Each call and each request has a context of its own.

    Args:
        name: the span's.
        metadata: what has come with it; `traceparent` and `tracestate` name the caller's span.
        since: when it began, on `time.monotonic`'s clock.
        attributes: the span's.
    """
    if _tracing is None:
        return None
    began = time.time_ns() - int((time.monotonic() - since) * 1e9)
    return _tracing.begin(name, metadata, began, attributes)


def end(span: Any, attributes: Mapping[str, Any], *, name: str = "", failed: bool = False) -> None:
    """Ends a span that `begin` has returned; None is none.

    Args:
        span: the span.
        attributes: further ones.
        name: its name, if that has become known only now.
        failed: whether the service, and not the caller, is to blame.
    """
    if _tracing is not None and span is not None:
        _tracing.end(span, attributes, name=name, failed=failed)


def outgoing() -> list[tuple[str, str]]:
    """Returns the metadata that make the current span the parent of the next process's."""
    return [] if _tracing is None else _tracing.outgoing()


@contextmanager
def statement(sql: str, **attributes: Any) -> Iterator[None]:
    """Makes a span of a statement, if there is a current span."""
    if _tracing is None:
        yield
    else:
        with _tracing.statement(sql, attributes):
            yield
