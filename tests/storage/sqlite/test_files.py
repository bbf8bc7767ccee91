"""SQLite's files: at the path of the URL, for any characters, and readable by their owner alone."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from service.storage import schema
from service.storage.database import Database
from service.storage.probe import Probe
from service.storage.sqlite import connect as sqlite
from tests.conftest import new_tenant

_NAMES = ["c#d", "x?y", "50%", "a%23b", "a b", "Gerät ☃", "a&b=c;d", "a:b", "mode=ro", "'\"", "a\\b", "%00", "~", "+"]


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def used(url: str) -> None:
    """Makes a database, and opens it in every way."""
    database = Database(url)
    schema.upgrade(database)
    schema.check(database)
    new_tenant(database).assign("ada@example.com", ["A"])
    probe = Probe(url, 30)
    assert probe.ask().reads
    probe.close()
    database.close()


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("form", ["absolute", "relative", "two slashes"])
def test_the_data_is_at_the_path_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name
    folder.mkdir()
    path = {
        "absolute": str(folder / f"{name}.db"),
        "relative": f"{name}/{name}.db",
        "two slashes": f"/{folder / name}.db",
    }[form]
    used(f"sqlite:///{quote(path)}")
    assert list(tmp_path.iterdir()) == [folder]
    assert {file.name.removesuffix("-wal").removesuffix("-shm") for file in folder.iterdir()} == {f"{name}.db"}


def test_every_file_is_its_owners_alone_whatever_the_umask_is(tmp_path: Path, umask: None) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    database = Database(url)
    schema.upgrade(database)
    with database.session() as connection:
        connection.exec_driver_sql("SELECT 1").close()
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    database.close()
    assert modes == dict.fromkeys(("x.db", "x.db-wal", "x.db-shm"), 0o600)


def test_an_empty_file_is_its_owners_alone_already(tmp_path: Path, umask: None) -> None:
    path = tmp_path / "x.db"
    sqlite.make_file(str(path))
    assert (path.stat().st_size, stat.S_IMODE(path.stat().st_mode)) == (0, 0o600)


def test_a_file_that_is_there_keeps_its_mode_and_a_link_to_none_makes_none(tmp_path: Path) -> None:
    there, link = tmp_path / "x.db", tmp_path / "link.db"
    there.touch()
    there.chmod(0o640)
    used(f"sqlite:///{there}")
    assert stat.S_IMODE(there.stat().st_mode) == 0o640
    link.symlink_to(tmp_path / "nothing.db")
    sqlite.make_file(str(link))
    assert not (tmp_path / "nothing.db").exists()
