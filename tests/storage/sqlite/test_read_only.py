"""Commands that read work on a copy that cannot be written, with nothing beside it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from service.storage.database import Database
from service.storage.sqlite import connect
from tests.cli.conftest import Command
from tests.conftest import Tenant, new_tenant

pytestmark = pytest.mark.process


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing can be written, as soon as `seal` is called on it."""
    made = tmp_path / "sealed"
    made.mkdir()
    yield made
    if os.geteuid() == 0:
        subprocess.run(["umount", "--lazy", str(made)], check=False, capture_output=True)
    made.chmod(0o700)


def seal(folder: Path) -> None:
    """Takes the right to write in a folder, which root has in spite of its mode."""
    folder.chmod(0o500)
    for file in folder.iterdir():
        file.chmod(0o400)
    if os.geteuid() != 0:
        return
    for options in (("--bind",), ("-o", "remount,ro,bind")):
        mounted = subprocess.run(["mount", *options, str(folder), str(folder)], check=False, capture_output=True)
        if mounted.returncode or sys.platform != "linux":
            pytest.skip("root can write everywhere, and cannot mount a folder read-only here")


def test_reading_commands_work_on_a_read_only_copy(tmp_path: Path, folder: Path) -> None:
    url = f"sqlite:///{tmp_path / 'served.db'}"
    first = Command(tmp_path, url)
    assert first("db", "upgrade").code == 0
    database = Database(url)
    tenant: Tenant = new_tenant(database)
    tenant.assign("ada@example.com", ["A", "B"])
    assert first("db", "backup", str(folder / "copy.db")).code == 0
    database.close()
    seal(folder)
    copy = Command(tmp_path, f"sqlite:///{folder / 'copy.db'}")
    exported = copy("export", "--org", "acme")
    assert (exported.code, exported.err) == (0, "")
    assert exported.out.splitlines()[1:] == ["ada@example.com,A,thermostat", "ada@example.com,B,thermostat"]
    for command in (("org", "list"), ("key", "list")):
        assert copy(*command).code == 0
    checked = copy("db", "check")
    assert "the database takes no writes" in checked.out + checked.err
    written = copy("org", "create", "other")
    assert written.code == 1
    assert written.err == "error: The database takes no writes now; retry later\n"
    assert [file.name for file in folder.iterdir()] == ["copy.db"]


def test_a_read_only_copy_with_a_write_ahead_log_is_read_with_it_or_refused(tmp_path: Path, folder: Path) -> None:
    url = f"sqlite:///{tmp_path / 'served.db'}"
    Command(tmp_path, url)("db", "upgrade")
    database = Database(url)
    tenant = new_tenant(database)
    with database.session(write=False):
        tenant.assign("ada@example.com", ["A"])  # stays in the log, because the reader needs the state before it
        file = Path(make_url(url).database or "")
        for suffix in ("", "-wal"):
            shutil.copy(f"{file}{suffix}", folder / f"copy.db{suffix}")
    database.close()
    assert (folder / "copy.db-wal").stat().st_size
    seal(folder)
    exported = Command(tmp_path, f"sqlite:///{folder / 'copy.db'}")("export", "--org", "acme")
    if exported.code == 0:
        assert exported.out.splitlines()[1:] == ["ada@example.com,A,thermostat"]
    else:
        assert "cannot open the database" in exported.err


def test_a_file_that_is_served_is_not_taken_for_one_that_never_changes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'served.db'}"
    Command(tmp_path, url)("db", "upgrade")
    database = Database(url)
    with database.session(write=False) as connection, pytest.MonkeyPatch.context() as patch:
        connection.execute(text("SELECT count(*) FROM customer")).close()
        patch.setattr(connect, "read_only", lambda _path: True)
        assert connect._uri(str(tmp_path / "served.db")).endswith("?mode=ro")
        assert connect._uri(str(tmp_path / "other.db")).endswith("?mode=ro&immutable=1")
    database.close()
