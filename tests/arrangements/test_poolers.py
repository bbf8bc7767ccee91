"""PgBouncer between the service and PostgreSQL, with its own settings but for the mode."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from service.app import Service
from service.config import Settings
from service.domain.cancellation import Cancellation
from service.domain.errors import DatabaseUnavailable, OutcomeUnknown
from service.storage import schema
from service.storage.database import Database
from service.storage.postgresql.backend import PostgreSQL
from service.storage.transaction import Transaction
from tests.arrangements import pgbouncer
from tests.arrangements.traffic import told
from tests.cli.conftest import Command
from tests.conftest import new_tenant, stop
from tests.grpc_server.api.client import Api
from tests.grpc_server.conftest import Log, logged
from tests.postgres import Postgres

__all__ = ["logged"]

pytestmark = [pytest.mark.process, pytest.mark.postgresql]

THREADS, ROUNDS = 8, 5
KEEPS_STATEMENTS = (1, 21)
FALLBACK = "statements are no longer prepared"


@pytest.fixture(params=["system", "named"])
def program(request: pytest.FixtureRequest) -> str:
    """A PgBouncer."""
    return pgbouncer.found(request.param)


@pytest.fixture
def direct(postgres_server: Postgres) -> Iterator[str]:
    """A database without a pooler."""
    url = postgres_server.fresh()
    yield url
    postgres_server.drop(url)


def served(urls: list[str], threads: int = THREADS, **settings: object) -> tuple[list[Service], list[Api]]:
    services = [Service(Settings(database_url=url, threads=threads, **settings)) for url in urls]  # type: ignore[arg-type]  # of any kind
    return services, [Api(service.start("127.0.0.1:0")) for service in services]


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("prepared", ["auto", "never"])
def test_two_services_answer_eight_threads_through_a_pooler(  # noqa: PLR0917  # fixtures and parameters
    program: str, direct: str, mode: str, prepared: str, logged: Log, tmp_path: Path
) -> None:
    with pgbouncer.running(program, direct, mode) as url:
        database = Database(url)
        assert schema.upgrade(database) == (schema.head(), schema.head())
        tenant = new_tenant(database)
        database.close()
        # A session of PgBouncer's stays with its client, and by default there are 20 for a database.
        threads = 1 if mode == "session" else THREADS
        services, apis = served([url, url], threads, prepared_statements=prepared)
        told(apis, tenant, THREADS, ROUNDS)
        keeps = mode == "session" or pgbouncer.version(program) >= KEEPS_STATEMENTS
        backends = [service._database.backend for service in services]
        named = [backend._statements.named for backend in backends if isinstance(backend, PostgreSQL)]
        assert named == [keeps and prepared == "auto"] * 2
        assert len(logged.events(FALLBACK)) == (0 if keeps or prepared == "never" else 2)
        assert "Traceback" not in logged.text
        for service, api in zip(services, apis, strict=True):
            api.channel.close()
            stop(service)


def test_a_commit_that_is_not_confirmed_is_seen_through_a_pooler(program: str, direct: str) -> None:
    """Even if the role is set not to hear of warnings."""
    raising = "'BEGIN RAISE WARNING ''not there yet''; RETURN NULL; END'"
    with pgbouncer.running(program, direct) as url:
        database = Database(url)
        tenant = new_tenant(database)
        with database.session() as connection:
            connection.execute(text(f"CREATE FUNCTION raising() RETURNS trigger LANGUAGE plpgsql AS {raising}"))
            connection.execute(
                text(
                    "CREATE CONSTRAINT TRIGGER raising AFTER INSERT ON device DEFERRABLE INITIALLY DEFERRED"
                    " FOR EACH ROW EXECUTE FUNCTION raising()"
                )
            )
            name = connection.execute(text("SELECT current_database()")).scalar_one()
            connection.execute(text(f"ALTER DATABASE {name} SET client_min_messages = error"))
        for opened in (Database(direct), Database(url)):

            def work(uow: Transaction) -> None:
                uow.devices.create(["new"], "lamp")

            with pytest.raises(OutcomeUnknown):
                opened.write(tenant.id, Cancellation(), work)
            with opened.session() as connection:
                connection.execute(text("DELETE FROM device"))
            opened.close()
        database.close()


def test_a_pooler_that_runs_each_statement_elsewhere_is_refused(program: str, direct: str, tmp_path: Path) -> None:
    with pgbouncer.running(program, direct, "statement") as url:
        database = Database(url)
        with pytest.raises(DatabaseUnavailable, match=r"pool_mode to transaction or session$"):
            schema.check(database)
        database.close()
        for arguments in (("db", "check"), ("serve", "--grpc-address", "127.0.0.1:0")):
            answer = Command(tmp_path, url)(*arguments)
            assert (answer.code, answer.out) == (1, "")
            assert answer.err.endswith("pool_mode to transaction or session\n")
            assert answer.err.count("\n") == 1
