"""The database goes away and comes back: UNAVAILABLE and NOT_SERVING meanwhile, and no restart needed."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from sqlalchemy import make_url, text

from service.storage.database import Database
from tests.conftest import Client, Failure, Tenant, failure
from tests.grpc_server.conftest import Log, eventually, health_of

Away = Callable[[], AbstractContextManager[None]]

SERVICE = "deviceassignment.v1.DeviceAssignmentService"


@contextmanager
def refusing(database: Database, admin: Database) -> Iterator[None]:
    """Cuts a PostgreSQL database off: everybody is thrown out, and nobody comes in."""
    name = make_url(database.url).database
    database.engine.dispose()

    def tell(*statements: str) -> None:
        with admin.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in statements:
                connection.execute(text(statement))

    tell(
        f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )
    try:
        yield
    finally:
        tell(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")


@contextmanager
def garbled(path: Path) -> Iterator[None]:
    """Breaks an SQLite database as a failing disk would: what is read from its files is garbage."""
    files = (path, path.with_name(f"{path.name}-wal"))
    kept = [file.read_bytes() for file in files]
    files[0].write_bytes(b"\xff" * len(kept[0]))
    files[1].write_bytes(b"")
    try:
        yield
    finally:
        for file, content in zip(files, kept, strict=True):
            file.write_bytes(content)


@pytest.fixture
def away(database: Database, tenant: Tenant) -> Iterator[Away]:
    """Takes the database away for as long as a block runs."""
    url = make_url(database.url)
    if url.drivername == "sqlite":

        @contextmanager
        def away() -> Iterator[None]:
            # A change of the file, before and after, has every connection read it anew.
            tenant.assign("bob@example.com", ["before"])
            with garbled(Path(url.database or "")):
                yield
            tenant.assign("bob@example.com", ["after"])

        yield away
        return
    admin = Database(url.set(database="postgres").render_as_string(hide_password=False))
    yield lambda: refusing(database, admin)
    admin.close()


def test_a_call_is_unavailable_while_the_database_is_away_and_works_when_it_is_back(
    client: Client, tenant: Tenant, away: Away, logged: Log
) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    health = health_of(client)

    def serving(state: int) -> bool:
        return all(
            health.Check(health_pb2.HealthCheckRequest(service=service)).status == state for service in ("", SERVICE)
        )

    client.unassign(tenant, "ada@example.com", ["A"])
    assert serving(health_pb2.HealthCheckResponse.SERVING)
    with away():
        for _ in range(3):
            gone: Failure = failure(lambda: client.unassign(tenant, "ada@example.com", ["B"]))
            assert (gone.code, gone.reason) == (
                grpc.StatusCode.UNAVAILABLE,
                "ERROR_REASON_DATABASE_UNAVAILABLE",
            )
            assert gone.retry_seconds == 1
            assert failure(lambda: client.page(tenant, "ada@example.com")).code is grpc.StatusCode.UNAVAILABLE
        eventually(lambda: serving(health_pb2.HealthCheckResponse.NOT_SERVING))
    eventually(lambda: serving(health_pb2.HealthCheckResponse.SERVING))
    assert list(client.unassign(tenant, "ada@example.com", ["B"]).unassigned_devices) == ["B"]
    assert client.devices(tenant, "ada@example.com") == []
    assert "ada@example.com" not in logged.text


def test_a_restart_of_the_database_between_two_calls_fails_neither(client: Client, tenant: Tenant, away: Away) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    client.unassign(tenant, "ada@example.com", ["A"])
    with away():
        pass
    assert list(client.unassign(tenant, "ada@example.com", ["B"]).unassigned_devices) == ["B"]
