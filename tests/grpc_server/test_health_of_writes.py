"""What health says of a database that can be read and not written."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from sqlalchemy import make_url, text

from service.grpc_server.health import WRITES
from service.storage import schema
from service.storage.database import Database
from tests.conftest import Client, Tenant
from tests.grpc_server.conftest import Run, eventually, health_of

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE = "deviceassignment.v1.DeviceAssignmentService"
NOBODY = 65_534

ReadOnly = Callable[[], AbstractContextManager[None]]


def health(client: Client, name: str) -> int:
    status: int = health_of(client).Check(health_pb2.HealthCheckRequest(service=name), timeout=10).status
    return status


@contextmanager
def reads_only(url: str) -> Iterator[None]:
    """Turns a PostgreSQL database read-only for its sessions, new ones and those that are there."""
    name = make_url(url).database
    admin = Database(make_url(url).set(database="postgres").render_as_string(hide_password=False))

    def tell(value: str) -> None:
        with admin.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}"))
            end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            connection.execute(text(end))

    tell("on")
    try:
        yield
    finally:
        tell("off")
        admin.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_postgresql_database_that_only_reads_is_told_by_one_name(run: Run, tenant: Tenant, database_url: str) -> None:
    tenant.assign("ada@example.com", ["A"])
    tenant.database.close()
    client = run().client
    assert [health(client, name) for name in ("", SERVICE, WRITES)] == [SERVING] * 3
    with reads_only(database_url):
        eventually(lambda: health(client, WRITES) == NOT_SERVING)
        eventually(lambda: health(client, "") == SERVING)
        assert [health(client, name) for name in ("", SERVICE, WRITES)] == [SERVING, SERVING, NOT_SERVING]
        assert client.devices(tenant, "ada@example.com") == ["A"]
    eventually(lambda: health(client, WRITES) == SERVING)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Takes the superuser's rights away, to whom every file is writable."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_sqlite_file_that_is_read_only_takes_no_writes_and_one_that_another_writes_does() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        url = f"sqlite:///{path}"
        database = Database(url)
        schema.upgrade(database)
        assert database.writable()
        with database.session():
            other = Database(url)
            assert other.writable()
            other.close()
        database.close()
        path.chmod(0o444)
        path.parent.chmod(0o777)
        with as_nobody():
            database = Database(url)
            assert (database.reachable(), database.writable()) == (True, False)
            database.close()


def test_writes_are_not_served_where_reads_are_not(run: Run) -> None:
    running = run()
    running.service._server.serving(reads=False, writes=True)
    assert health(running.client, WRITES) == NOT_SERVING
    with pytest.raises(grpc.RpcError):
        health(running.client, "deviceassignment.v1.other")
