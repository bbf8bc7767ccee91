"""What a server counts, on both databases."""

import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.cancellation import Cancellation
from service.domain.keys import SCOPES
from service.grpc_client.certificate import Tls
from service.metrics import exposition, numbers
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.transaction import Retry
from tests.conftest import Client, Serve, Tenant, failure
from tests.grpc_server.certificates import issued, read_tls
from tests.grpc_server.conftest import Run, eventually, held
from tests.metrics.conftest import Counted, counted

__all__ = ["counted"]

UNKNOWN = "da_AbCd1234_" + "y" * 40


def lookup(client: Client, metadata: tuple[tuple[str, str], ...], *identifiers: str) -> object:
    request = pb.LookupOwnersRequest(device_identifiers=identifiers)
    return client.assignments.LookupOwners(request, metadata=metadata)


def test_calls_are_counted_by_rpc_and_status_and_their_time_is_a_histogram(
    counted: Counted, serve: Serve, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A"])
    client = serve()
    for _ in range(3):
        lookup(client, tenant.metadata, "A")
    failure(lambda: client.unassign(tenant, "nobody@example.com", ["A"]))
    failure(lambda: client.channel.unary_unary("/of.a/Caller")(b""))  # type: ignore[arg-type]  # it takes bytes
    eventually(lambda: counted("calls_total", rpc="other", status="UNIMPLEMENTED") == 1)
    assert counted("calls_total", rpc="LookupOwners", status="OK") == 3
    assert counted("calls_total", rpc="UnassignDevices", status="NOT_FOUND") == 1
    assert counted("call_duration_seconds_count", rpc="LookupOwners") == 3
    assert counted("call_duration_seconds_bucket", rpc="LookupOwners", le="+Inf") == 3
    total = counted("call_duration_seconds_sum", rpc="LookupOwners")
    assert total is not None
    assert 0 < total < 120


def test_changed_devices_are_counted_once_and_previews_and_replays_are_not(
    counted: Counted, serve: Serve, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A", "B", "C"])
    client = serve()
    client.unassign(tenant, "ada@example.com", ["A", "B"], validate_only=True)
    request_id = str(uuid.uuid4())
    for _ in range(2):
        client.unassign(tenant, "ada@example.com", ["A", "B", "X"], request_id=request_id)
    request = pb.AssignDevicesRequest(customer_email="bob@example.com", device_identifiers=["A"])
    client.assignments.AssignDevices(request, metadata=tenant.metadata)
    assert counted("devices_changed_total", change="unassigned") == 2
    assert counted("devices_changed_total", change="assigned") == 3 + 1  # the import above is in this process
    assert counted("replays_total") == 1


def test_refused_calls_are_counted_by_their_reason(
    counted: Counted, serve: Serve, tenant: Tenant, database: Database
) -> None:
    client = serve(rate_limit=1, key_cache_seconds=0)
    revoked, secret = Keys(database).create(tenant.id, SCOPES, None)
    Keys(database).revoke(revoked.id)
    for bad in (UNKNOWN, secret, "nonsense"):
        failure(lambda bad=bad: lookup(client, (("x-api-key", bad),), "A"))  # type: ignore[misc]  # a lambda's default
    failure(lambda: lookup(client, tenant.key("devices:read"), "A"))
    codes = [
        client.assignments.LookupOwners.future(
            pb.LookupOwnersRequest(device_identifiers=["A"]), metadata=tenant.metadata
        ).code()
        for _ in range(20)
    ]
    limited = codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert limited
    eventually(lambda: counted("calls_refused_total", reason="rate_limited") == limited)
    assert counted("calls_refused_total", reason="api_key_invalid") == 3
    assert counted("calls_refused_total", reason="scope_missing") == 1


def test_calls_in_flight_and_connections_are_shown_while_they_last(
    counted: Counted, run: Run, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A"])
    running = run(threads=2)
    with held(database, "ada@example.com"):
        waiting = [running.unassigning(tenant, "ada@example.com", ["A"]) for _ in range(3)]
        # One organisation has half of the threads.
        eventually(lambda: counted("calls_open", state="running") == 1)
        eventually(lambda: counted("calls_open", state="waiting") == 2)
        if database.engine.dialect.name == "postgresql":
            eventually(lambda: (counted("database_connections", state="used") or 0) >= 1)
    for call in waiting:
        call.result(timeout=120)
    eventually(lambda: counted("calls_open", state="running") == counted("calls_open", state="waiting") == 0)
    eventually(lambda: (counted("database_connections", state="idle") or 0) >= 1)
    assert counted("database_connections_limit") == 2 + 8
    assert counted("server_processes") == 1
    assert counted("database_up", access="read") == counted("database_up", access="write") == 1


def test_transactions_that_run_again_are_counted(counted: Counted, database: Database, tenant: Tenant) -> None:
    tries = []

    def work(_uow: object) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise Retry
        return len(tries)

    assert database.write(tenant.id, Cancellation(), work) == 3
    assert counted("transaction_retries_total") == 2


def test_streams_their_operations_and_their_lag_are_shown(counted: Counted, run: Run, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    running = run()
    stream = running.client.assignments.WatchOperations(pb.WatchOperationsRequest(), metadata=tenant.metadata)
    next(stream)
    eventually(lambda: counted("watch_streams") == 1)
    running.client.unassign(tenant, "ada@example.com", ["A"])
    next(stream)
    eventually(lambda: (counted("watch_operations_sent_total") or 0) >= 1)
    lag = counted("watch_lag_seconds")
    assert lag is not None
    assert 0 <= lag < 60
    stream.cancel()
    eventually(lambda: counted("watch_streams") == 0)
    eventually(lambda: counted("watch_lag_seconds") == 0)
    assert counted("call_duration_seconds_count", rpc="WatchOperations") is None
    assert counted("calls_total", rpc="WatchOperations", status="CANCELLED") == 1


def test_keys_in_the_cache_and_looked_up_are_counted(counted: Counted, serve: Serve, tenant: Tenant) -> None:
    client = serve(key_cache_seconds=4)
    for _ in range(5):
        lookup(client, tenant.metadata, "A")
    hits, misses = counted("key_lookups_total", cache="hit"), counted("key_lookups_total", cache="miss")
    assert hits is not None
    assert misses is not None
    assert hits + misses >= 5
    assert misses >= 1
    eventually(lambda: counted("key_cache_keys") == 1)


@pytest.mark.process
def test_the_end_of_the_certificate_is_shown_and_follows_a_new_one(counted: Counted, run: Run, tmp_path: Path) -> None:
    def certificate(days: int) -> Tls:
        (tmp_path / str(days)).mkdir()
        return read_tls(*issued(tmp_path / str(days), "DNS:localhost", days=days)[1:])

    running = run(tls=certificate(3))

    def days_left() -> float:
        return ((counted("certificate_end_timestamp_seconds") or 0) - datetime.now(UTC).timestamp()) / 86_400

    eventually(lambda: 2 < days_left() <= 3)
    running.service.renew(certificate(20))
    eventually(lambda: 19 < days_left() <= 20)


def test_without_a_certificate_there_is_no_end_of_one(counted: Counted, run: Run) -> None:
    run()
    eventually(lambda: counted("server_processes") == 1)
    assert counted("certificate_end_timestamp_seconds") is None


def test_what_is_served_has_no_organisation_no_key_and_no_address(
    counted: Counted, serve: Serve, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["SN-1"])
    client = serve()
    lookup(client, tenant.metadata, "SN-1")
    client.unassign(tenant, "ada@example.com", ["SN-1"], note="returned")
    failure(lambda: client.channel.unary_unary(f"/{UNKNOWN}/ada@example.com")(b""))  # type: ignore[arg-type]  # bytes
    eventually(lambda: counted("calls_total", rpc="other", status="UNIMPLEMENTED") == 1)
    text = exposition.text("")[0].decode()
    for private in (tenant.id, tenant.key_id, tenant.api_key, UNKNOWN, "example.com", "SN-1", "returned", "of.a"):
        assert private not in text


def test_no_count_is_lost_among_threads(counted: Counted) -> None:
    threads = 8
    metric = next(metric for metric in numbers.defined() if metric.name == "replays")

    def count() -> None:
        for _ in range(20_000):
            metric.add()

    started = [threading.Thread(target=count) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert counted("replays_total") == 20_000 * threads
