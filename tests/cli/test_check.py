"""`db check`: is all well? One line for each thing, an exit code, and nothing changed."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import pytest
import sqlalchemy
from sqlalchemy import create_engine, make_url, text

from service.storage import checkup
from service.storage.checkup import Demand, Finding, State
from service.storage.database import Database
from service.storage.postgresql import checks
from tests import postgres
from tests.cli.conftest import EXECUTABLE, Answer, Command
from tests.grpc_server.certificates import issued


def lines(answer: Answer) -> list[str]:
    """What was reported, what is well first."""
    return [*answer.out.splitlines(), *answer.err.splitlines()]


@pytest.mark.process
def test_each_thing_that_is_well_is_one_line(command: Command) -> None:
    answer = command("db", "check")
    assert (answer.code, answer.err) == (0, "")
    assert all(line.startswith("ok: ") for line in answer.out.splitlines())
    for part in ("tables are up to date", "the database answers: ", "the clocks ", "takes writes", "open files"):
        assert sum(part in line for line in answer.out.splitlines()) == 1
    as_json = json.loads(command("db", "check", "--json").out)
    assert {line["state"] for line in as_json} == {"ok"}
    assert [f"ok: {line['text']}" for line in as_json] == answer.out.splitlines()
    assert ("PostgreSQL " if command.url.startswith("postgresql") else "SQLite ") in answer.out


@pytest.mark.process
def test_it_changes_nothing(sqlite: Command) -> None:
    path = Path(make_url(sqlite.url).database or "")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    before = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns
    assert sqlite("db", "check").code == 0
    assert (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) == before


@pytest.mark.process
def test_a_missing_database_is_the_first_line_and_what_else_is_wrong_follows(sqlite: Command, tmp_path: Path) -> None:
    away = sqlite(
        "db", "check", "--tls-cert", "no.pem", "--tls-key", "no.key", DEVICE_ASSIGNMENT_DATABASE_URL="sqlite:///no.db"
    )
    assert (away.code, away.out) == (1, "")
    assert [line.partition(";")[0] for line in away.err.splitlines()] == [
        "error: there is no database file no.db",
        "error: no.pem: No such file or directory",
    ]
    assert not (tmp_path / "no.db").exists()


@pytest.mark.process
@pytest.mark.parametrize(
    ("days", "state", "part"),
    [(30, "ok", "expires in 29 days"), (3, "warning", "renew it"), (-1, "error", "certificate has expired")],
)
def test_certificates_are_read_and_their_days_are_counted(
    sqlite: Command, tmp_path: Path, days: int, state: str, part: str
) -> None:
    _, chain, key = issued(tmp_path, "DNS:localhost", days=days)
    answer = sqlite("db", "check", "--tls-cert", str(chain), "--tls-key", str(key))
    assert answer.code == (1 if state == "error" else 0)
    [line] = [line for line in lines(answer) if str(chain) in line]
    assert line.startswith(f"{state}: ")
    assert part in line


@pytest.mark.process
def test_a_key_of_another_certificate_is_a_problem(sqlite: Command, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    _, chain, _ = issued(tmp_path / "a", "DNS:localhost")
    _, _, key = issued(tmp_path / "b", "DNS:localhost")
    answer = sqlite("db", "check", "--tls-cert", str(chain), "--tls-key", str(key))
    assert answer.code == 1
    assert f"error: {key} does not belong to {chain}" in answer.err
    assert "ok: tables are up to date" in answer.out


@pytest.mark.process
def test_too_few_open_files_are_warned_of(sqlite: Command) -> None:
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        pytest.skip("prlimit is not installed (Debian's package util-linux has it)")
    done = subprocess.run(
        [prlimit, "--nofile=500:500", EXECUTABLE, "db", "check"],
        cwd=sqlite.folder,
        env=sqlite.environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("warning: 500 open files are allowed, which is too few for DEVICE_ASSIGNMENT_")


@pytest.fixture
def postgresql(postgres_server: postgres.Postgres) -> Iterator[Database]:
    """A PostgreSQL database."""
    url = postgres_server.fresh()
    database = Database(url)
    yield database
    database.close()
    postgres_server.drop(url)


def connections(database: Database, wanted: int) -> Finding:
    with database.session(write=False) as connection:
        return checks.connections(connection, Demand(wanted, "set THREADS lower"))


@pytest.mark.postgresql
def test_more_connections_than_are_allowed_are_a_problem_that_says_what_to_raise(postgresql: Database) -> None:
    with postgresql.session(write=False) as connection:
        most = int(connection.execute(text("SHOW max_connections")).scalar_one())
    assert connections(postgresql, 25).state is State.OK
    found = connections(postgresql, most + 1)
    assert found.state is State.PROBLEM
    assert "max_connections allows" in found.text
    assert found.text.endswith("raise it, or set THREADS lower")
    admin = create_engine(postgresql.url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {make_url(postgresql.url).database} CONNECTION LIMIT 20"))
    admin.dispose()
    found = connections(postgresql, 25)
    assert (found.state, "the database's CONNECTION LIMIT allows 20" in found.text) == (State.PROBLEM, True)


@pytest.mark.postgresql
def test_a_database_that_only_reads_is_warned_of(postgresql: Database) -> None:
    admin = create_engine(postgresql.url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        name = make_url(postgresql.url).database
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    admin.dispose()
    found = checkup.findings(postgresql, Demand(1, ""))
    assert [line.text.partition(":")[0] for line in found if line.state is State.WARNING] == [
        "the database takes no writes"
    ]


@pytest.mark.process
@pytest.mark.postgresql
def test_the_command_counts_the_workers_and_fails(postgresql: Database, tmp_path: Path) -> None:
    answer = Command(tmp_path, postgresql.url)("db", "check", "--workers", "500")
    assert answer.code == 1
    assert answer.err.startswith(f"error: {500 * 25} connections are wanted here, and max_connections allows ")
    assert answer.err.rstrip().endswith("set DEVICE_ASSIGNMENT_THREADS or --workers lower")
    assert "ok: tables are up to date" in answer.out


@pytest.mark.parametrize(("seconds", "words"), [(90, "90.0 s ahead of"), (-7, "7.0 s behind"), (0.2, "")])
def test_clocks_that_differ_are_warned_of(
    database: Database, monkeypatch: pytest.MonkeyPatch, seconds: float, words: str
) -> None:
    class Behind(datetime):
        """This machine's clock."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) - timedelta(seconds=seconds)

    monkeypatch.setattr(checkup, "datetime", Behind)
    with database.session(write=False) as connection:
        found = checkup.clock(connection, Demand(1, ""))
    assert found.state is (State.WARNING if words else State.OK)
    assert words in found.text


def test_a_check_can_be_added_for_one_kind_of_database(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def mine(connection: sqlalchemy.Connection, _demand: Demand) -> Finding:
        connection.execute(text("SELECT 1")).close()
        return Finding(State.WARNING, "mine")

    monkeypatch.setattr(type(database.backend), "checks", (mine,))
    assert "mine" in [finding.text for finding in checkup.findings(database, Demand(1, ""))]
