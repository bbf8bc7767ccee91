"""One role upgrades and another serves, with the privileges that docs/operate.md lists and no others."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from service.app import Service
from service.config import Settings
from service.storage import schema, statistics
from service.storage.database import Database
from service.storage.tables import metadata
from tests.arrangements.traffic import told
from tests.cli.conftest import Command
from tests.conftest import HEADER, new_tenant, stop
from tests.grpc_server.api.client import Api
from tests.postgres import Postgres

pytestmark = [pytest.mark.process, pytest.mark.postgresql]

PAGE = Path(__file__).parents[2] / "docs" / "operate.md"
MAINTAIN = 170_000


def documented(name: str) -> list[str]:
    """Returns the statements of a block in docs/operate.md."""
    block = re.search(rf"<!-- {name} -->\n\n```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    lines = re.sub(r"--.*", "", block[1])
    return [statement.strip() for statement in lines.split(";") if statement.strip()]


@dataclass(frozen=True)
class Roles:
    """A database with two roles, whose privileges are those of the page alone."""

    url: str
    migrator: str
    service: str

    def run(self, *statements: str) -> None:
        """Runs statements as an administrator."""
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                named = statement.replace("da_migrator", self.migrator).replace("da_service", self.service)
                connection.execute(text(named.replace("DATABASE devices", f"DATABASE {make_url(self.url).database}")))
        engine.dispose()

    def url_of(self, role: str) -> str:
        """Returns the URL that a role uses."""
        return make_url(self.url).set(username=role, password="hunter2").render_as_string(hide_password=False)


@pytest.fixture
def roles(postgres_server: Postgres) -> Iterator[Roles]:
    """A database without tables."""
    mark = uuid.uuid4().hex[:8]
    made = Roles(postgres_server.create(), f"da_migrator_{mark}", f"da_service_{mark}")
    made.run(
        "CREATE ROLE da_migrator LOGIN PASSWORD 'hunter2'",
        "CREATE ROLE da_service LOGIN PASSWORD 'hunter2'",
        "REVOKE ALL ON DATABASE devices FROM PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        *documented("privileges"),
    )
    yield made
    made.run("DROP OWNED BY da_service, da_migrator", "DROP ROLE da_service, da_migrator")
    postgres_server.drop(made.url)


def upgraded(roles: Roles) -> None:
    database = Database(roles.url_of(roles.migrator))
    assert schema.upgrade(database) == ("", schema.head())
    database.close()


def test_the_service_does_everything_with_the_documented_privileges(roles: Roles, tmp_path: Path) -> None:
    upgraded(roles)
    database = Database(roles.url_of(roles.service))
    tenant = new_tenant(database)
    service = Service(Settings(database_url=database.url))
    api = Api(service.start("127.0.0.1:0"))
    told([api], tenant, threads=2, rounds=2)
    api.channel.close()
    stop(service)
    command = Command(tmp_path, database.url)
    check = command("db", "check")
    assert check.code == 0, check.err
    assert "ok: the user of the database has all privileges that the service needs\n" in check.out
    assert command("db", "prune", "--older-than", "1d").err == ""
    assert command("org", "create", "Globex").code == 0
    assert command("import", "--org", "Globex", command.file(HEADER, "ada@example.com,SN-1,lamp")).code == 0
    assert command("export", "--org", "Globex").out.splitlines()[1:] == ["ada@example.com,SN-1,lamp"]
    database.close()


def test_statistics_are_renewed_with_a_privilege_that_is_newer(roles: Roles) -> None:
    admin = Database(roles.url)
    with admin.session() as connection:
        version = connection.execute(text("SELECT current_setting('server_version_num')::int")).scalar_one()
    if version < MAINTAIN:
        pytest.skip("needs PostgreSQL 17 or newer, for the privilege MAINTAIN")
    roles.run(*documented("privileges from 17"))
    upgraded(roles)
    with admin.session() as connection:
        connection.execute(text("ALTER TABLE stream SET (autovacuum_enabled = off)"))
        connection.execute(text("INSERT INTO stream SELECT i, 1 FROM generate_series(1, 5000) AS s (i)"))
    database = Database(roles.url_of(roles.service))
    assert statistics.renew(database) == ["stream"]
    database.close()
    admin.close()


@pytest.mark.parametrize(
    ("revoked", "lacks"),
    [
        ("TEMPORARY ON DATABASE devices", "TEMPORARY on the database {database}"),
        ("USAGE ON SCHEMA public", "USAGE on the schema public"),
        ("DELETE ON reply", "DELETE on reply"),
        ("INSERT, UPDATE ON device, operation", "INSERT, UPDATE on device, operation"),
        ("INSERT ON ALL TABLES IN SCHEMA public", f"INSERT on {', '.join(sorted(metadata.tables))}"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(roles: Roles, tmp_path: Path, revoked: str, lacks: str) -> None:
    upgraded(roles)
    roles.run(f"REVOKE {revoked} FROM da_service")
    command = Command(tmp_path, roles.url_of(roles.service))
    lacks = lacks.format(database=make_url(roles.url).database)
    for answer in command.each(("db", "check"), ("serve", "--grpc-address", "127.0.0.1:0")):
        assert (answer.code, answer.out) == (1, "")
        assert answer.err == (
            f"error: the user of the database lacks {lacks}; grant what docs/operate.md lists under Privileges\n"
        )


def test_a_role_that_may_not_make_tables_is_refused_in_one_sentence(roles: Roles, tmp_path: Path) -> None:
    answer = Command(tmp_path, roles.url_of(roles.service))("db", "upgrade")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.endswith("does not allow this: permission denied for schema public\n")
    assert answer.err.count("\n") == 1
