"""An upgrade to the next version of the tables, while a server of this version goes on."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from service.domain.errors import DatabaseUnavailable
from service.storage import schema
from service.storage.database import Database
from tests.conftest import Serve, Tenant
from tests.storage.history import replayed

_NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "{following}"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("customer", sa.Column("nickname", sa.Text()))
    op.create_table("nickname_change", sa.Column("id", sa.BigInteger(), primary_key=True))
"""


@pytest.fixture
def upgrade_to_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Database], tuple[str, str]]:
    """Upgrades a database as the next version of the program would."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema._MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    step = _NEXT.format(following=schema.following(), head=schema.head())
    (folder / "versions" / f"{schema.following()}_next.py").write_text(step)

    def upgrade(database: Database) -> tuple[str, str]:
        with monkeypatch.context() as patch:
            patch.setattr(schema, "_MIGRATIONS", folder)
            return schema.upgrade(database)

    return upgrade


def test_a_server_serves_during_an_upgrade_and_a_new_one_of_its_version_starts_after_it(
    serve: Serve, tenant: Tenant, database: Database, upgrade_to_next: Callable[[Database], tuple[str, str]]
) -> None:
    devices = [f"D{number}" for number in range(400)]
    tenant.assign("ada@example.com", devices)
    before, following = schema.head(), schema.following()
    client = serve()
    over, begun = threading.Event(), threading.Event()
    done: list[str] = []

    def unassign() -> None:
        for device in devices[:-1]:
            done.extend(client.unassign(tenant, "ada@example.com", [device]).unassigned_devices)
            begun.set()
            if over.is_set() and len(done) > 20:
                return

    calling = threading.Thread(target=unassign)
    calling.start()
    assert begun.wait(60)
    assert upgrade_to_next(database) == (before, following)
    over.set()
    calling.join()
    assert done == devices[: len(done)]
    assert schema.check(database) == following
    second = serve()
    assert list(second.unassign(tenant, "ada@example.com", devices[-1:]).unassigned_devices) == devices[-1:]
    assert len(replayed(database, tenant.id).operations) == len(done) + 2


def test_this_program_does_not_upgrade_what_the_next_one_has_upgraded(
    database: Database, upgrade_to_next: Callable[[Database], tuple[str, str]]
) -> None:
    upgrade_to_next(database)
    with pytest.raises(schema.NotCurrent, match=r"which this program does not know; run a newer program$"):
        schema.upgrade(database)


def test_tables_that_are_two_versions_newer_are_not_served(database: Database) -> None:
    newer = f"{int(schema.following()) + 1:04}"
    with database.session() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{newer}'"))
    with pytest.raises(schema.NotCurrent, match="run a newer program"):
        schema.check(database)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_upgrade_that_has_to_wait_long_for_a_table_gives_up_and_changes_nothing(
    database: Database, upgrade_to_next: Callable[[Database], tuple[str, str]]
) -> None:
    reading = Database(database.url)
    with reading.session(write=False) as connection:
        connection.execute(text("SELECT count(*) FROM customer")).close()
        with pytest.raises(DatabaseUnavailable, match=r"is in use by another process; try again when that has ended$"):
            upgrade_to_next(database)
    reading.close()
    assert schema.check(database) == schema.head()
    assert upgrade_to_next(database) == (schema.head(), schema.following())
