"""A receiver of spans: a real server of OTLP over gRPC."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.grpc_server.conftest import eventually


@dataclass(frozen=True)
class Received:
    """A span that has been received; ids are in hexadecimal."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    process: str
    attributes: dict[str, Any]
    failed: bool
    nanoseconds: int
    events: tuple[str, ...]


@dataclass
class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """The service of OTLP for traces."""

    spans: list[Received] = field(default_factory=list)
    port: int = 0

    @property
    def endpoint(self) -> str:
        """Where spans are to be sent."""
        return f"http://127.0.0.1:{self.port}"

    def Export(self, request: Any, _context: Any) -> Any:  # noqa: N802  # the rpc's name
        """Takes spans."""
        for resource in request.resource_spans:
            process = _attributes(resource.resource.attributes)["process.title"]
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                self.spans.append(
                    Received(
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        process,
                        _attributes(span.attributes),
                        span.status.code == span.status.STATUS_CODE_ERROR,
                        span.end_time_unix_nano - span.start_time_unix_nano,
                        tuple(str(event) for event in span.events),
                    )
                )
        return trace_service_pb2.ExportTraceServiceResponse()

    def of(self, trace_id: str, count: int) -> list[Received]:
        """Waits for so many spans of a trace, and returns them."""
        eventually(lambda: len([span for span in list(self.spans) if span.trace_id == trace_id]) >= count)
        return [span for span in list(self.spans) if span.trace_id == trace_id]


def _attributes(found: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in found}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running receiver."""
    made = Receiver()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)  # type: ignore[no-untyped-call]  # generated
    made.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield made
    server.stop(None).wait()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has spans sent after a moment."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
