"""The spans of a server in this process, on both databases."""

import secrets
from collections.abc import Iterator

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from service.tracing import spans
from tests.conftest import Client, Serve, Tenant
from tests.grpc_server.conftest import Log, eventually, logged
from tests.tracing.conftest import Received, Receiver

__all__ = ["logged"]


@pytest.fixture
def traced(receiver: Receiver) -> Iterator[Receiver]:
    """Sends spans to the receiver."""
    spans.start(receiver.endpoint, "here")
    yield receiver
    spans.stop()


def parent() -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Makes a caller's span. Returns the ids of its trace and of itself, and the metadata."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, (("traceparent", f"00-{trace_id}-{span_id}-01"), ("tracestate", "vendor=1"))


def unassign(client: Client, tenant: Tenant, metadata: tuple[tuple[str, str], ...], email: str) -> None:
    request = pb.UnassignDevicesRequest(customer_email=email, device_identifiers=["A"], note="geheim")
    client.assignments.UnassignDevices(request, metadata=(*tenant.metadata, *metadata))


def one(found: list[Received], name: str) -> Received:
    [span] = [span for span in found if span.name == name]
    return span


def test_a_call_has_a_span_below_the_callers_and_each_statement_one_below_that(
    traced: Receiver, serve: Serve, tenant: Tenant, logged: Log
) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    client = serve()
    trace_id, span_id, metadata = parent()
    unassign(client, tenant, metadata, "ada@example.com")
    found = traced.of(trace_id, 4)
    call = one(found, "deviceassignment.v1.DeviceAssignmentService/UnassignDevices")
    assert call.parent == span_id
    assert call.attributes["rpc.grpc.status_code"] == 0
    assert call.attributes["device_assignment.organization_id"] == tenant.id
    statements = [span for span in found if span is not call]
    assert {span.parent for span in statements} == {call.span_id}
    assert {span.attributes["db.system.name"] for span in statements} == {tenant.database.engine.dialect.name}
    texts = " ".join(span.attributes["db.query.text"] for span in statements)
    assert "assignment" in texts
    assert "COMMIT" in texts
    assert all(0 < span.nanoseconds <= call.nanoseconds for span in statements)
    [line] = logged.events("call")
    assert (line["trace_id"], line["call_id"]) == (trace_id, call.attributes["device_assignment.call_id"])
    everything = repr(found)
    for private in ("ada@", "geheim", tenant.api_key):
        assert private not in everything


def test_a_call_without_a_callers_span_begins_a_trace(
    traced: Receiver, serve: Serve, tenant: Tenant, logged: Log
) -> None:
    client = serve()
    for metadata in ((), (("traceparent", "nonsense"),)):
        with pytest.raises(grpc.RpcError):
            unassign(client, tenant, metadata, "nobody@example.com")
    eventually(lambda: len(logged.events("call")) == 2)
    first, second = (line["trace_id"] for line in logged.events("call"))
    assert first != second
    call = one(traced.of(first, 2), "deviceassignment.v1.DeviceAssignmentService/UnassignDevices")
    assert (call.parent, call.attributes["rpc.grpc.status_code"]) == ("", grpc.StatusCode.NOT_FOUND.value[0])
    assert call.attributes["device_assignment.reason"] == "ERROR_REASON_CUSTOMER_NOT_FOUND"
    assert not call.failed, "the caller is to blame"


def test_a_caller_that_does_not_sample_is_not_sampled(traced: Receiver, serve: Serve, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    client = serve()
    not_sampled, _, metadata = parent()
    [(name, value), *rest] = metadata
    unassign(client, tenant, ((name, value[:-2] + "00"), *rest), "ada@example.com")
    trace_id, _, metadata = parent()
    with pytest.raises(grpc.RpcError):
        unassign(client, tenant, metadata, "nobody@example.com")
    traced.of(trace_id, 2)
    assert not [span for span in traced.spans if span.trace_id == not_sampled]


def test_a_defect_is_a_failed_span_and_its_line_in_the_log_has_the_trace(
    traced: Receiver, serve: Serve, tenant: Tenant, logged: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise ValueError("broken for ada@example.com")

    client = serve()
    monkeypatch.setattr(Database, "write", broken)
    trace_id, _, metadata = parent()
    with pytest.raises(grpc.RpcError):
        unassign(client, tenant, metadata, "ada@example.com")
    call = one(traced.of(trace_id, 1), "deviceassignment.v1.DeviceAssignmentService/UnassignDevices")
    assert call.failed
    assert [line["trace_id"] for line in logged.events("defect")] == [trace_id]
    assert "ada@" not in repr(traced.spans)


def test_a_stream_has_one_span_which_ends_with_it(traced: Receiver, serve: Serve, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    client = serve()
    trace_id, span_id, metadata = parent()
    stream = client.assignments.WatchOperations(pb.WatchOperationsRequest(), metadata=(*tenant.metadata, *metadata))
    next(stream)
    stream.cancel()
    call = "deviceassignment.v1.DeviceAssignmentService/WatchOperations"
    eventually(lambda: any(span.name == call for span in traced.spans))
    found = traced.of(trace_id, 2)
    assert one(found, call).parent == span_id
    assert {span.parent for span in found if span.name != call} == {one(found, call).span_id}


def test_statements_of_no_call_have_no_span(traced: Receiver, database: Database, serve: Serve) -> None:
    serve()
    assert database.reachable()
    opened = Database(database.url)
    assert opened.reachable()
    opened.close()
    assert traced.spans == []


def test_a_statement_that_fails_is_a_failed_span_without_what_it_quotes(
    traced: Receiver, database: Database, serve: Serve, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A"])
    client = serve()
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE customer_revision RENAME TO customer_revision_gone")
    trace_id, _, metadata = parent()
    with pytest.raises(grpc.RpcError):
        unassign(client, tenant, metadata, "ada@example.com")
    found = traced.of(trace_id, 2)
    assert [span.failed for span in found if "db.query.text" in span.attributes].count(True) >= 1
    assert "ada@" not in repr(found)
    assert not [event for span in found for event in span.events], "an event would quote the exception"
