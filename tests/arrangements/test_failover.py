"""A primary is turned read-only and a standby promoted, and no connection is lost: two real servers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2

from service.grpc_server.health import WRITES
from service.storage import schema
from service.storage.database import Database
from tests.arrangements import pgbouncer
from tests.conftest import Client, Serve, Tenant, failure, new_tenant
from tests.grpc_server.conftest import eventually, health_of
from tests.torture.cluster import Cluster
from tests.torture.node import Node

pytestmark = [pytest.mark.process, pytest.mark.postgresql]

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
DEVICES = [f"{number}" for number in range(20)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A primary and a standby that follows it."""
    made = Cluster({}, followed=True)
    yield made
    made.close()


def standby(cluster: Cluster) -> Node:
    assert cluster.standby is not None
    return cluster.standby


@pytest.fixture
def database_url(cluster: Cluster) -> str:
    """Both servers, of which one takes writes."""
    hosts = f"127.0.0.1:{cluster.primary.port},127.0.0.1:{standby(cluster).port}"
    return f"postgresql+psycopg://postgres@{hosts}/postgres?target_session_attrs=read-write"


@pytest.fixture
def tenant(database_url: str) -> Iterator[Tenant]:
    """An organisation whose customer has devices."""
    database = Database(database_url)
    schema.upgrade(database)
    made = new_tenant(database)
    made.assign("ada@example.com", DEVICES)
    yield made
    database.close()


def turn_read_only(node: Node) -> None:
    node.run("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    eventually(
        lambda: node.value("SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_read_only'") == "on"
    )


def health(client: Client, name: str) -> int:
    status: int = health_of(client).Check(health_pb2.HealthCheckRequest(service=name), timeout=60).status
    return status


def taken(client: Client, tenant: Tenant, device: str) -> bool:
    """Ends an assignment, unless the database cannot be written."""
    try:
        return list(client.unassign(tenant, "ada@example.com", [device]).unassigned_devices) == [device]
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017  # the other outcome
        return False


def fill(client: Client, tenant: Tenant) -> None:
    """Has the server open a connection to the database for each of several calls."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: client.page(tenant, "ada@example.com"), range(64)))


def all_taken(client: Client, tenant: Tenant) -> bool:
    """Ends assignments over several connections at once."""
    with ThreadPoolExecutor(8) as threads:
        return all(threads.map(lambda device: taken(client, tenant, device), DEVICES[2:10]))


def test_writes_go_on_at_the_promoted_standby(cluster: Cluster, tenant: Tenant, serve: Serve) -> None:
    client = serve(key_cache_seconds=0)
    assert taken(client, tenant, "0")
    fill(client, tenant)
    turn_read_only(cluster.primary)
    refused = failure(lambda: client.unassign(tenant, "ada@example.com", ["1"]))
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    standby(cluster).run("SELECT pg_promote(true, 60)")
    eventually(lambda: taken(client, tenant, "1"))
    assert all_taken(client, tenant)
    assert client.devices(tenant, "ada@example.com") == sorted(DEVICES[10:])


def test_reads_alone_go_on_at_the_promoted_standby_too(cluster: Cluster, tenant: Tenant, serve: Serve) -> None:
    """The old primary would answer them for ever, from old data."""
    reading = serve(key_cache_seconds=0)
    fill(reading, tenant)
    turn_read_only(cluster.primary)
    standby(cluster).run("SELECT pg_promote(true, 60)")
    writing = serve(key_cache_seconds=0)
    assert taken(writing, tenant, "0")

    def all_read() -> bool:
        with ThreadPoolExecutor(8) as threads:
            return all(len(found) == len(DEVICES) - 1 for found in threads.map(lambda _: listed(), range(16)))

    def listed() -> list[str]:
        return reading.devices(tenant, "ada@example.com")

    eventually(all_read)
    eventually(lambda: health(reading, WRITES) == SERVING)


def test_health_follows_a_database_that_turns_read_only_and_back(
    cluster: Cluster, tenant: Tenant, serve: Serve
) -> None:
    client = serve()
    turn_read_only(standby(cluster))  # as it is already
    cluster.primary.run("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    eventually(lambda: health(client, WRITES) == NOT_SERVING)
    cluster.primary.run("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
    eventually(lambda: health(client, WRITES) == SERVING)
    eventually(lambda: taken(client, tenant, "0"))


@pytest.mark.parametrize("program", ["system", "named"])
def test_writes_go_on_where_a_pooler_leads_to(cluster: Cluster, tenant: Tenant, serve: Serve, program: str) -> None:
    with pgbouncer.started(pgbouncer.found(program), "transaction") as pooler:
        pooler.lead_to("127.0.0.1", cluster.primary.port)
        client = serve(key_cache_seconds=0, database_url=pooler.url("postgres"))
        assert taken(client, tenant, "0")
        fill(client, tenant)
        turn_read_only(cluster.primary)
        assert failure(lambda: client.unassign(tenant, "ada@example.com", ["1"])).code is grpc.StatusCode.UNAVAILABLE
        standby(cluster).run("SELECT pg_promote(true, 60)")
        pooler.lead_to("127.0.0.1", standby(cluster).port)
        eventually(lambda: taken(client, tenant, "1"))
        assert all_taken(client, tenant)
        assert client.devices(tenant, "ada@example.com") == sorted(DEVICES[10:])
