"""`db upgrade` and `db check`, and that every other command wants a database that is up to date."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from service.storage import schema
from service.storage.database import Database
from tests import postgres
from tests.cli.conftest import Command
from tests.grpc_server.conftest import eventually

MENDING = "run `device-assignment db upgrade`"


def test_a_new_database_is_refused_until_it_is_upgraded_and_upgrading_again_changes_nothing(new: Command) -> None:
    for answer in new.each(("db", "check"), ("serve", "--grpc-address", "127.0.0.1:0")):
        assert (answer.code, answer.out) == (1, "")
        assert answer.err.startswith("error: ")
        assert MENDING in answer.err
        assert answer.err.count("\n") == 1
    assert new("db", "upgrade").out == f"tables created (version {int(schema.head())})\n"
    again, check = new.each(("db", "upgrade"), ("db", "check"))
    assert (again.code, again.out) == (0, f"tables are up to date (version {int(schema.head())})\n")
    assert (check.code, check.err) == (0, "")
    assert f"ok: tables are up to date (version {int(schema.head())})\n" in check.out
    for file in new.folder.glob("new.db*"):
        assert file.stat().st_mode & 0o077 == 0, "an SQLite file is for its owner alone"


def test_a_database_of_a_newer_version_is_refused(command: Command, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    answer = command("serve", "--grpc-address", "127.0.0.1:0")
    assert answer.code == 1
    assert "the tables have version 9999, which this program does not know; run a newer program" in answer.err


def test_a_database_that_is_away_is_named_without_its_password(plain: Command) -> None:
    for answer in plain.each(("db", "check"), ("db", "upgrade"), ("serve",)):
        assert (answer.code, answer.out) == (1, "")
        assert answer.err.startswith("error: cannot open the database nothing on 127.0.0.1, port 1: ")
        assert "refused" in answer.err
        assert "hunter2" not in answer.err


@pytest.mark.process
def test_the_check_warns_of_settings_under_which_a_crash_undoes_what_was_answered(tmp_path: Path) -> None:
    with postgres.own() as own:
        url = own.server.fresh()
        check = Command(tmp_path, url)
        assert (check("db", "check").code, check("db", "check").err) == (0, "")
        admin = create_engine(url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text("ALTER SYSTEM SET fsync = off"))
            connection.execute(text(f"ALTER DATABASE {admin.url.database} SET synchronous_commit = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
        admin.dispose()
        eventually(lambda: "fsync" in check("db", "check").err)
        answer = check("db", "check")
    assert answer.code == 0
    assert "full_page_writes is on" in answer.out
    assert answer.err == (
        "warning: synchronous_commit is off: after a crash of the database, calls that were answered can be undone; "
        "set synchronous_commit to on\n"
        "warning: fsync is off: after a crash of the machine, the database can be damaged; set fsync to on\n"
    )


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("mysql://nobody:hunter2@localhost/x", "names mysql, which is not supported"),
        ("nobody:hunter2", "cannot be read"),
        ("sqlite://", "needs a file"),
        ("sqlite:////no/such/folder/x.db", "/no/such/folder/x.db"),
    ],
)
def test_a_database_that_cannot_be_is_told_in_one_sentence(plain: Command, url: str, text: str) -> None:
    answer = plain("db", "upgrade", DEVICE_ASSIGNMENT_DATABASE_URL=url)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("error: ")
    assert text in answer.err
    assert answer.err.count("\n") == 1
    assert "hunter2" not in answer.err
