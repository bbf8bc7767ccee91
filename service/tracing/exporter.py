"""Makes spans with OpenTelemetry and sends them by OTLP over gRPC. Imported only where tracing is on."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.version import VERSION

# An endpoint that does not answer must not keep the process from ending.
_END_SECONDS = 3.0
_EXPORT_SECONDS = 5.0
_TRACE_CONTEXT = frozenset({"traceparent", "tracestate"})


class Tracing:
    """Makes spans and sends them in batches, on a thread of its own. Spans that cannot be sent are dropped.

    Args:
        endpoint: `http://host:port`, or `https://host:port` for TLS.
        process: the name of this process among those of the server.
    """

    def __init__(self, endpoint: str, process: str) -> None:
        resource = Resource.create(
            {"service.name": "device-assignment", "service.version": VERSION, "process.title": process}
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint, insecure=endpoint.startswith("http://"), timeout=_EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("service", VERSION)
        self._propagator = TraceContextTextMapPropagator()

    def close(self) -> None:
        """Sends what waits, and ends."""
        thread = threading.Thread(target=self._provider.shutdown, name="tracing-end", daemon=True)
        thread.start()
        thread.join(_END_SECONDS)

    def begin(
        self, name: str, metadata: Iterable[tuple[str, str | bytes]], began: int, attributes: Mapping[str, Any]
    ) -> trace.Span:
        """Begins a span at a time in nanoseconds since 1970; see `spans.begin`."""
        carrier = {key: str(value) for key, value in metadata if key in _TRACE_CONTEXT}
        parent = self._propagator.extract(carrier, context.Context())
        span = self._tracer.start_span(
            name, parent, kind=SpanKind.SERVER, start_time=began, attributes=dict(attributes)
        )
        context.attach(trace.set_span_in_context(span, parent))
        return span

    def end(self, span: trace.Span, attributes: Mapping[str, Any], *, name: str, failed: bool) -> None:
        """Ends a span; see `spans.end`."""
        if name:
            span.update_name(name)
        span.set_attributes({key: value for key, value in attributes.items() if value is not None})
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def outgoing(self) -> list[tuple[str, str]]:
        """Returns the current span as W3C Trace Context."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return list(carrier.items())

    def trace_id(self) -> str:
        """Returns the id of the current trace; empty where there is none."""
        found = trace.get_current_span().get_span_context()
        return trace.format_trace_id(found.trace_id) if found.is_valid else ""

    @contextmanager
    def statement(self, sql: str, attributes: Mapping[str, Any]) -> Iterator[None]:
        """Makes a span of a statement. Those of maintenance belong to no trace and have none."""
        if not trace.get_current_span().get_span_context().is_valid:
            yield
            return
        text = " ".join(sql.split())
        named = {"db.query.text": text, **attributes}
        # The text of an exception may quote a row, so it is not recorded.
        with self._tracer.start_as_current_span(
            text.partition(" ")[0].upper(),
            kind=SpanKind.CLIENT,
            attributes=named,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise
