"""`TRACES_ENDPOINT` in real processes: from the gateway to the statement, and what is said if it cannot be."""

import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from tests.cli.conftest import Command, Launch, launch, plain, sqlite
from tests.conftest import Client, Tenant, new_tenant
from tests.grpc_server.conftest import eventually
from tests.rest_gateway.rest import Http, Rest
from tests.tracing.conftest import Receiver

__all__ = ["launch", "plain", "sqlite"]

LOOKUP = "/deviceAssignment/lookupOwners"


def tenant_of(command: Command) -> Tenant:
    database = Database(command.url)
    tenant = new_tenant(database, "globex")
    tenant.assign("ada@example.com", ["A"])
    database.close()
    return tenant


def test_a_request_is_one_trace_from_the_caller_through_gateway_and_server_to_the_statement(
    sqlite: Command, launch: Launch, receiver: Receiver
) -> None:
    tenant = tenant_of(sqlite)
    server = launch(
        sqlite, "--rest-address", "127.0.0.1:0", "--workers", "2", DEVICE_ASSIGNMENT_TRACES_ENDPOINT=receiver.endpoint
    )
    rest = Rest(Http(server.rest_port), tenant.api_key)
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    answer = rest(LOOKUP, {"traceparent": f"00-{trace_id}-{span_id}-01"}, deviceIdentifiers=["A"])
    assert answer.status == 200
    for path in ("/healthz", "/readyz"):
        assert Http(server.rest_port).send("GET", path).status == 200
    # The gateway's and the worker's are sent apart.
    eventually(lambda: {"gateway"} < {span.process for span in list(receiver.spans)})
    found = {span.name: span for span in receiver.of(trace_id, 3)}
    request = found[f"POST /api/ext-v1{LOOKUP}"]
    call = found["deviceassignment.v1.DeviceAssignmentService/LookupOwners"]
    # The key may be looked up with a statement too.
    [statement] = [span for span in found.values() if "assignment" in span.attributes.get("db.query.text", "")]
    assert (request.parent, call.parent, statement.parent) == (span_id, request.span_id, call.span_id)
    assert (request.process, call.process[:7], statement.process) == ("gateway", "worker-", call.process)
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.route"] == f"/api/ext-v1{LOOKUP}"
    assert server.stop(signal.SIGTERM).code == 0
    lines = [
        line for line in server.events if line["event"] in {"request", "call"} and "CheckKey" not in line["method"]
    ]
    assert {(line["event"], line["trace_id"]) for line in lines} == {("request", trace_id), ("call", trace_id)}
    assert {span.trace_id for span in receiver.spans} == {trace_id}, "neither probes nor checks of keys have spans"
    assert tenant.api_key not in repr(receiver.spans)


def test_an_unknown_path_and_an_invented_method_name_nothing_of_the_caller(
    sqlite: Command, launch: Launch, receiver: Receiver
) -> None:
    server = launch(sqlite, "--rest-address", "127.0.0.1:0", DEVICE_ASSIGNMENT_TRACES_ENDPOINT=receiver.endpoint)
    for method, path in (("GET", "/ada@example.com"), ("ADA", "/")):
        assert Http(server.rest_port).send(method, path).status == 404
    eventually(lambda: len(receiver.spans) == 2)
    assert {span.name for span in receiver.spans} == {"GET", "_OTHER"}
    assert "ada" not in repr(receiver.spans).lower()


def test_an_endpoint_that_is_away_costs_no_call_and_does_not_keep_the_server_from_ending(
    sqlite: Command, launch: Launch
) -> None:
    tenant = tenant_of(sqlite)
    server = launch(sqlite, DEVICE_ASSIGNMENT_TRACES_ENDPOINT="http://127.0.0.1:1")
    client = Client(server.port)
    for _ in range(20):
        client.assignments.LookupOwners(pb.LookupOwnersRequest(device_identifiers=["A"]), metadata=tenant.metadata)
    client.channel.close()
    began = time.monotonic()
    assert server.stop(signal.SIGTERM).code == 0
    assert time.monotonic() - began < 60


@pytest.mark.process
def test_a_missing_package_and_a_wrong_endpoint_are_one_sentence(plain: Command, tmp_path: Path) -> None:
    shadow = tmp_path / "without"
    (shadow / "opentelemetry").mkdir(parents=True)
    (shadow / "opentelemetry" / "__init__.py").touch()
    for arguments in (("serve", "--grpc-address", "127.0.0.1:0"), ("gateway", "--rest-address", "127.0.0.1:0")):
        missing = plain(*arguments, DEVICE_ASSIGNMENT_TRACES_ENDPOINT="http://127.0.0.1:4317", PYTHONPATH=str(shadow))
        assert missing.code == 1
        assert missing.err.splitlines()[-1].startswith(
            "error: an endpoint for traces is set, but OpenTelemetry is not installed: install the extra `tracing` "
        )
        for endpoint in ("127.0.0.1:4317", "grpc://h:1", "http://h", "http://h:port", "http://:4317"):
            wrong = plain(*arguments, DEVICE_ASSIGNMENT_TRACES_ENDPOINT=endpoint)
            assert wrong.code == 1
            assert wrong.err.splitlines()[-1].startswith("error: the endpoint for traces must be http://HOST:PORT")
            assert "Traceback" not in wrong.err


@pytest.mark.process
def test_without_an_endpoint_and_without_metrics_nothing_of_either_is_imported() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, service.app, service.rest, service.cli.serving; print(*sys.modules)",
        ],
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout.split()
    assert "service.app" in loaded
    assert not [name for name in loaded if name.startswith(("opentelemetry", "prometheus_client"))]
