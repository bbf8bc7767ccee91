"""A backup that is made while the service is used, and a service that goes on from it."""

import errno
import os
import sqlite3
import subprocess
import threading
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from sqlalchemy import make_url

from service.app import Service
from service.config import Settings
from service.runtime.operator_error import OperatorError
from service.storage import schema
from service.storage.database import Database
from service.storage.sqlite import copying
from tests import postgres
from tests.cli.conftest import Command
from tests.conftest import Client, Tenant
from tests.storage.history import replayed

pytestmark = pytest.mark.process

ADA = "ada@example.com"
DEVICES = [f"D{number:03}" for number in range(300)]


def copy_sqlite(url: str, folder: Path) -> str:
    """Uses the command."""
    file = folder / "copy.db"
    done = Command(folder, url)("db", "backup", str(file))
    assert (done.code, done.err) == (0, "")
    assert done.out == f"copied to {file} ({file.stat().st_size} bytes)\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(folder.glob("copy.db?*"))
    return f"sqlite:///{file}"


def copy_postgresql(url: str, folder: Path, server: postgres.Postgres) -> str:
    """Uses PostgreSQL's tools, as docs/operate.md shows."""
    tools = postgres.tools()
    restored = server.create()
    file = folder / "device-assignment.dump"
    names = [
        make_url(each).set(drivername="postgresql").render_as_string(hide_password=False) for each in (url, restored)
    ]
    subprocess.run([tools / "pg_dump", "--format=custom", f"--file={file}", names[0]], check=True)
    subprocess.run([tools / "pg_restore", f"--dbname={names[1]}", "--exit-on-error", file], check=True)
    return restored


@pytest.fixture
def copied(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes a backup, restores it and returns the URL of the new database."""
    if database_url.startswith("sqlite"):
        return lambda: copy_sqlite(database_url, tmp_path)
    server: postgres.Postgres = request.getfixturevalue("postgres_server")
    if not (postgres.tools() / "pg_restore").exists():
        pytest.skip("pg_dump and pg_restore are not there")
    return lambda: copy_postgresql(database_url, tmp_path, server)


def test_a_service_goes_on_from_a_backup_that_was_made_while_it_was_used(
    client: Client, tenant: Tenant, database: Database, copied: Callable[[], str]
) -> None:
    tenant.assign(ADA, DEVICES)
    request_id = str(uuid.uuid4())
    first = client.unassign(tenant, ADA, DEVICES[:1], request_id=request_id)
    token = client.page(tenant, ADA, page_size=5).next_page_token
    stream = client.assignments.WatchOperations(pb.WatchOperationsRequest(), metadata=tenant.metadata, timeout=60)
    resume = [next(stream).resume_token for _ in range(2)][-1]
    stream.cancel()
    begun, over = threading.Event(), threading.Event()
    done: list[str] = []

    def unassign() -> None:
        for device in DEVICES[1:-1]:
            done.append(client.unassign(tenant, ADA, [device]).operation_id)
            begun.set()
            if over.is_set():
                return

    writing = threading.Thread(target=unassign)
    writing.start()
    assert begun.wait(60)
    url = copied()
    over.set()
    writing.join()

    service = Service(Settings(database_url=url))
    restored = Client(service.start("127.0.0.1:0"))
    opened = Database(url)
    try:
        _goes_on(restored, tenant, opened, request_id, first, token, resume, done)
    finally:
        restored.channel.close()
        service.stop()
        opened.close()


def _goes_on(  # noqa: PLR0917  # all that has to go on
    restored: Client,
    tenant: Tenant,
    opened: Database,
    request_id: str,
    first: Any,
    token: str,
    resume: str,
    done: list[str],
) -> None:
    history = replayed(opened, tenant.id)
    kept = [operation_id for operation_id in done if operation_id in history.operations]
    assert kept == done[: len(kept)]
    assert kept, "the backup has nothing of what was committed before it"
    assert restored.unassign(tenant, ADA, DEVICES[:1], request_id=request_id) == first
    page = restored.page(tenant, page_token=token, page_size=3)
    assert [each.device_identifier for each in page.devices] == DEVICES[6:9]
    assert len(restored.devices(tenant, ADA)) == len(DEVICES) - 1 - len(kept)
    watching = restored.assignments.WatchOperations(
        pb.WatchOperationsRequest(after=resume), metadata=tenant.metadata, timeout=60
    )
    assert [next(watching).operation.operation_id for _ in kept] == kept
    again = restored.unassign(tenant, ADA, [DEVICES[-1]])
    assert list(again.unassigned_devices) == [DEVICES[-1]]
    assert next(watching).operation.operation_id == again.operation_id
    watching.cancel()
    replayed(opened, tenant.id)


def test_a_file_that_exists_is_not_replaced(tmp_path: Path) -> None:
    command = Command(tmp_path, f"sqlite:///{tmp_path / 'served.db'}")
    command("db", "upgrade")
    (tmp_path / "copy.db").write_text("precious")
    refused = command("db", "backup", str(tmp_path / "copy.db"))
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == f"error: {tmp_path / 'copy.db'}: File exists\n"
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_a_copy_that_does_not_fit_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "served.db"
    Command(tmp_path, f"sqlite:///{source}")("db", "upgrade")
    connect = sqlite3.connect

    def small(*arguments: Any, **options: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = connect(*arguments, **options)
        if str(arguments[0]).endswith(".part"):
            made.execute("PRAGMA max_page_count = 2").close()
        return made

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(OperatorError, match=r"^the copy .*copy\.db was not made: database or disk is full$"):
        copying.copy(str(source), tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy.db*"))


def test_a_copy_needs_no_second_name_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "served.db"
    Command(tmp_path, f"sqlite:///{source}")("db", "upgrade")

    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert copying.copy(str(source), tmp_path / "copy.db") > 0
    with closing(Database(f"sqlite:///{tmp_path / 'copy.db'}")) as copied_database:
        assert schema.check(copied_database) == schema.head()
    with pytest.raises(FileExistsError):
        copying.copy(str(source), tmp_path / "copy.db")


def test_a_backup_comes_before_an_upgrade(tmp_path: Path) -> None:
    command = Command(tmp_path, f"sqlite:///{tmp_path / 'served.db'}")
    command("db", "upgrade")
    with sqlite3.connect(tmp_path / "served.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    connection.close()
    assert command("db", "check").code == 1
    assert command("db", "backup", str(tmp_path / "copy.db")).code == 0


def test_a_backup_of_postgresql_is_pg_dumps(database_url: str, tmp_path: Path) -> None:
    if database_url.startswith("sqlite"):
        refused = Command(tmp_path, database_url)("db", "backup", str(tmp_path / "nowhere" / "copy.db"))
        assert refused.code == 1
        assert "nowhere" in refused.err
        return
    refused = Command(tmp_path, database_url)("db", "backup", str(tmp_path / "copy.db"))
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("error: db backup copies SQLite databases; use pg_dump for PostgreSQL")
