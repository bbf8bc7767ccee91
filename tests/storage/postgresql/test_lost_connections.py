"""Connections that PostgreSQL ends, as a restart does."""

import gc
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, make_url, text

from service.domain.cancellation import Cancellation
from service.domain.errors import CustomerNotFound
from service.storage.database import Database
from service.storage.transaction import Transaction
from tests.conftest import Client, Serve, Tenant, new_tenant
from tests.grpc_server.conftest import eventually
from tests.postgres import Postgres
from tests.storage.conformance.test_transactions import ADA, add_device, devices

pytestmark = pytest.mark.postgresql


@pytest.mark.parametrize("through", ["driver", "SQLAlchemy"])
def test_an_error_of_the_use_case_is_kept_if_the_connection_is_lost_afterwards(
    postgres_server: Postgres, through: str
) -> None:
    database = Database(postgres_server.fresh(), 1)
    tenant = new_tenant(database)
    ended = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    def work(uow: Transaction) -> None:
        uow.customers.find(email=ADA)
        if through == "SQLAlchemy":
            add_device(uow)
        # Ends the connection of this transaction, which notices it only after the use case has raised its error.
        other = create_engine(database.url)
        with other.connect() as connection:
            connection.execute(ended)
        other.dispose()
        raise CustomerNotFound

    for _ in range(2):
        with pytest.raises(CustomerNotFound):
            database.write(tenant.id, Cancellation(), work)
    assert devices(database) == []
    database.close()


def restart(url: str) -> None:
    """Ends every connection, as a restart of PostgreSQL does."""
    admin = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        ended = connection.execute(
            text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name"),
            {"name": make_url(url).database},
        )
        assert ended.scalars().all()
    admin.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_calls_after_a_restart_of_the_database_work_at_once(
    database_url: str, serve: Serve, tenant: Tenant, postgres_server: Postgres
) -> None:
    client: Client = serve(key_cache_seconds=0)
    tenant.assign("ada@example.com", [f"{number:02}" for number in range(20)])
    with ThreadPoolExecutor(8) as pool:  # fills the pool of connections
        list(pool.map(lambda _: client.page(tenant, "ada@example.com"), range(16)))
    restart(database_url)
    answer = client.unassign(tenant, "ada@example.com", ["00"])
    assert list(answer.unassigned_devices) == ["00"]
    restart(database_url)
    assert client.page(tenant, "ada@example.com").total_count == 19
    restart(database_url)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.unassign(tenant, "ada@example.com", [f"{n:02}"]), range(1, 9)))
    assert [len(answer.unassigned_devices) for answer in answers] == [1] * 8


def connections(url: str) -> int:
    """Counts the connections to a database."""
    admin = create_engine(make_url(url).set(database="postgres"))
    with admin.connect() as connection:
        found = connection.execute(
            text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name"), {"name": make_url(url).database}
        )
        number: int = found.scalar_one()
    admin.dispose()
    return number


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_connection_of_a_replaced_pool_is_closed(database_url: str, database: Database, tenant: Tenant) -> None:
    """As when one thread has found a lost connection while another thread uses one that is not lost."""

    def work(uow: Transaction) -> None:
        assert uow.devices.known(["A"]) == {}
        database.engine.dispose()

    gc.disable()
    try:
        database.read(tenant.id, Cancellation(), work)
        eventually(lambda: connections(database_url) == 0)
    finally:
        gc.enable()
