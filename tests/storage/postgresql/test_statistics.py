"""The planner's statistics are renewed when a young table has grown, and statements are then planned again."""

import pytest
from sqlalchemy import text

from service.app import Service
from service.config import Settings
from service.domain.import_lines import Line, read_lines
from service.storage import bulk, statistics
from service.storage.database import Database
from tests import postgres
from tests.conftest import HEADER, Client, Tenant, new_tenant
from tests.grpc_server.api.client import Api
from tests.grpc_server.conftest import eventually
from tests.plans import Recorder

COUNT = 2_000

pytestmark = pytest.mark.postgresql
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def lines(count: int, first: int = 0) -> list[Line]:
    """Makes lines that assign ten devices to each customer."""
    rows = [HEADER, *(f"c{n // 10}@example.com,D-{n},lamp" for n in range(first, first + count))]
    return [line for line in read_lines(f"{row}\n" for row in rows) if isinstance(line, Line)]


def disable_autovacuum(database: Database) -> None:
    """Keeps PostgreSQL from renewing the statistics itself."""
    with database.session() as connection:
        connection.execute(text("ALTER TABLE assignment SET (autovacuum_enabled = off)"))


def known(database: Database) -> int:
    """Returns how many assignments the planner expects; -1 if there are no statistics."""
    with database.session(write=False) as connection:
        found = connection.execute(text("SELECT reltuples FROM pg_class WHERE oid = to_regclass('assignment')"))
        return int(found.scalar_one())


@on_postgresql
def test_the_statistics_of_tables_that_have_more_than_doubled_are_renewed(database: Database, tenant: Tenant) -> None:
    assert statistics.renew(database) == []
    disable_autovacuum(database)
    bulk.import_lines(database, tenant.id, lines(COUNT), skip_bad_lines=False)
    assert known(database) == COUNT
    bulk.import_lines(database, tenant.id, lines(COUNT // 10, COUNT), skip_bad_lines=False)
    assert known(database) == COUNT
    bulk.import_lines(database, tenant.id, lines(2 * COUNT, 2 * COUNT), skip_bad_lines=False)
    assert known(database) == 3 * COUNT + COUNT // 10
    assert statistics.renew(database) == []


@on_postgresql
def test_a_server_renews_them_as_well(client: Client, tenant: Tenant, database: Database) -> None:
    tenant.assign("ada@example.com", ["A"])
    assert client.devices(tenant, "ada@example.com") == ["A"]
    disable_autovacuum(database)
    assert known(database) == -1
    with database.session() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(
            text("INSERT INTO assignment SELECT 1, 1, 1, 'D-' || i FROM generate_series(1, 5000) AS s (i)")
        )
    eventually(lambda: known(database) == 5_001)


@pytest.mark.process
def test_statements_planned_for_empty_tables_are_planned_again_after_an_import() -> None:
    with postgres.own(postgres.memory()) as own:
        url = own.server.fresh()
        database = Database(url)
        tenant = new_tenant(database)
        recorder = Recorder(database, own.log)
        service = Service(Settings(database_url=url, key_cache_seconds=0))
        api = Api(service.start("127.0.0.1:0"))
        bulk.import_lines(database, tenant.id, lines(10), skip_bad_lines=False)

        def look(number: int) -> None:
            email = f"c{number}@example.com"
            api(tenant, "QueryCustomer", email=email)
            api(tenant, "ListAssignedDevices", customer_email=email, page_size=5)

        for _ in range(2 * service._settings.threads):
            look(0)
        bulk.import_lines(database, tenant.id, lines(20_000), skip_bad_lines=False)
        service._maintenance.stop()  # its statements would be recorded too
        with recorder.recording() as recording:
            look(1_999)
        api.channel.close()
        service.stop()
        database.close()
    assert recording.plans
    assert recording.rows < 100, f"looks at {recording.rows} rows:\n{recording}"
