"""Whatever the database or the role is set to, an answer is the same."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import make_url, text

from service.app import Service
from service.config import Settings
from service.domain.cancellation import Cancellation
from service.storage import schema
from service.storage.database import Database
from tests.arrangements.traffic import told
from tests.cli.conftest import Command
from tests.conftest import HEADER, Tenant, new_tenant, stop
from tests.grpc_server.api.client import ADA, Api
from tests.grpc_server.conftest import held
from tests.postgres import Postgres

pytestmark = [pytest.mark.process, pytest.mark.postgresql]

LIMIT_SECONDS = 2
ODD = {
    "datestyle": "'German, DMY'",
    "timezone": "'Asia/Kathmandu'",
    "intervalstyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "statement_timeout": f"'{LIMIT_SECONDS}s'",
    "lock_timeout": f"'{LIMIT_SECONDS}s'",
    "client_min_messages": "error",
    "search_path": "tenant1",
}


@pytest.fixture
def odd(postgres_server: Postgres) -> Iterator[Database]:
    """A database whose own settings are unusual, with tables in a schema that they name."""
    url = postgres_server.create()
    first = Database(url, 1)
    with first.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE SCHEMA tenant1"))
        for name, value in ODD.items():
            connection.execute(text(f"ALTER DATABASE {make_url(url).database} SET {name} = {value}"))
    first.close()
    database = Database(url, 5)
    schema.upgrade(database)
    yield database
    database.close()
    postgres_server.drop(url)


@pytest.fixture
def tenant(odd: Database) -> Tenant:
    """An organisation."""
    return new_tenant(odd)


@pytest.fixture
def api(odd: Database) -> Iterator[Api]:
    """A client of a server."""
    service = Service(Settings(database_url=odd.url))
    client = Api(service.start("127.0.0.1:0"))
    yield client
    client.channel.close()
    stop(service)


def test_every_kind_of_call_is_answered_exactly(api: Api, tenant: Tenant) -> None:
    told([api], tenant, threads=4, rounds=2)


def test_times_are_instants_in_whatever_zone_the_database_is(api: Api, tenant: Tenant) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    operation = api.operation(tenant, api.assign(tenant, ADA, ["A"]).operation_id)
    api.unassign(tenant, ADA, ["A"])
    occurred_at = operation.occurred_at.ToDatetime(tzinfo=UTC)
    assert before <= occurred_at <= datetime.now(UTC) + timedelta(seconds=1)
    at = Timestamp()
    at.FromDatetime(occurred_at)
    (then,) = api(tenant, "LookupOwners", device_identifiers=["A"], at=at).results
    assert [owner.assigned_at for owner in then.owners] == [operation.occurred_at]
    (now,) = api(tenant, "LookupOwners", device_identifiers=["A"]).results
    assert list(now.owners) == []
    at.FromDatetime(occurred_at - timedelta(microseconds=1))
    (earlier,) = api(tenant, "LookupOwners", device_identifiers=["A"], at=at).results
    assert list(earlier.owners) == []


def test_a_stored_answer_is_repeated_byte_for_byte(api: Api, tenant: Tenant) -> None:
    who = {"request_id": "0b9d2d5c-61a5-4f1c-9b43-4f8d2e3a9c11", "note": "back\\slash 'quote' é"}
    first = api.assign(tenant, ADA, ["A\\", "B'", "C\N{SNOWMAN}"], **who)
    assert (
        api.assign(tenant, ADA, ["A\\", "B'", "C\N{SNOWMAN}"], **who).SerializeToString() == first.SerializeToString()
    )
    assert api.devices(tenant, ADA) == ["A\\", "B'", "C\N{SNOWMAN}"]
    assert api.operation(tenant, first.operation_id).note == who["note"]


def test_a_call_waits_for_a_lock_longer_than_the_database_would_let_it(api: Api, tenant: Tenant, odd: Database) -> None:
    api.assign(tenant, ADA, ["A"])
    ended = []
    with held(odd, ADA):
        waiting = threading.Thread(target=lambda: ended.append(api.unassign(tenant, ADA, ["A"])))
        waiting.start()
        waiting.join(2 * LIMIT_SECONDS)
        assert waiting.is_alive()
    waiting.join(120)
    assert list(ended[0].unassigned_devices) == ["A"]


def test_reads_never_fail_to_serialize(odd: Database, tenant: Tenant) -> None:
    """Each statement of a read that is alone runs in a transaction, whose isolation is not the database's."""

    def isolation(uow: object) -> str:
        connection = uow.connection.core  # type: ignore[attr-defined]  # a transaction's
        found: str = connection.execute(text("SELECT current_setting('transaction_isolation')")).scalar_one()
        return found

    assert odd.read(tenant.id, Cancellation(), isolation, one_statement=True) == "read committed"
    assert odd.read(tenant.id, Cancellation(), isolation) == "repeatable read"
    assert odd.write(tenant.id, Cancellation(), isolation) == "read committed"


def test_commands_print_the_same(odd: Database, tmp_path: Path) -> None:
    command = Command(tmp_path, odd.url)
    assert command("db", "check").out.startswith("ok: ")
    organization = command("org", "create", "Globex", "--json").json
    lines = ["ada@example.com,SN\\1,lamp", "bob@example.com,SN'2,lamp"]
    file = command.file(HEADER, *lines)
    assert command("import", "--org", "Globex", file).code == 0
    assert command("export", "--org", "Globex").out.splitlines() == [HEADER, *lines]
    before = datetime.now(UTC) - timedelta(seconds=1)
    key = command("key", "create", "--org", organization["organization_id"], "--json", "--expires", "90d").json
    listed = command("key", "list", "--json").json
    (found,) = [row for row in listed if row["key_id"] == key["key_id"]]
    assert before <= datetime.fromisoformat(found["created_at"]) <= datetime.now(UTC) + timedelta(seconds=1)
    assert found["created_at"].endswith(("Z", "+00:00"))
    assert found["expires_at"] == key["expires_at"]


def test_everything_is_in_the_schema_that_the_database_names(odd: Database) -> None:
    with odd.session() as connection:
        schemas = connection.execute(
            text(
                "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            )
        )
        assert schemas.scalars().all() == ["tenant1"]
    assert schema.drift(odd) == []
