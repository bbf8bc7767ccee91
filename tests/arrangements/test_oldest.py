"""The whole service on the oldest supported PostgreSQL; `storage/conformance` runs on it too."""

from pathlib import Path

import pytest

from service.app import Service
from service.config import Settings
from service.storage import schema
from service.storage.database import Database
from tests.arrangements.traffic import told
from tests.cli.conftest import Command
from tests.conftest import HEADER, new_tenant, stop
from tests.grpc_server.api.client import Api
from tests.postgres import Postgres

pytestmark = [pytest.mark.process, pytest.mark.postgresql]


def test_the_oldest_supported_postgresql_is_served(oldest_postgres: Postgres, tmp_path: Path) -> None:
    url = oldest_postgres.create()
    command = Command(tmp_path, url)
    assert command("db", "upgrade").out == f"tables created (version {int(schema.head())})\n"
    database = Database(url)
    assert schema.drift(database) == []
    tenant = new_tenant(database)
    service = Service(Settings(database_url=url))
    api = Api(service.start("127.0.0.1:0"))
    told([api], tenant, threads=4, rounds=3)
    api.channel.close()
    stop(service)
    database.close()
    assert command("db", "check").code == 0
    assert command("import", "--org", tenant.id, command.file(HEADER, "ada@example.com,SN-1,lamp")).code == 0
    oldest_postgres.drop(url)
