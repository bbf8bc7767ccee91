"""`serve --example`: the call that it prints works when it is pasted."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import example
from service.domain.keys import sha256
from service.storage.database import Database
from service.storage.keys import Keys
from tests.cli.conftest import Command, Launch

VIRTUAL_ENVIRONMENT = Path(sys.executable).parent.parent


def test_the_printed_call_works_when_pasted_and_a_second_start_prints_the_same(tmp_path: Path, launch: Launch) -> None:
    new = Command(tmp_path, f"sqlite:///{tmp_path / 'new.db'}")
    # The call names .venv/bin/buf, as one finds it from the folder of a clone.
    (new.folder / ".venv").symlink_to(VIRTUAL_ENVIRONMENT)
    calls = []
    for expected in (["SN-1001", "SN-1002"], []):
        server = launch(new, "--example")
        assert server.process.stdout is not None
        lines = [server.process.stdout.readline() for _ in range(6)]
        call = "".join(lines[2:])
        pasted = subprocess.run(call, shell=True, cwd=new.folder, capture_output=True, text=True, check=False)  # noqa: S602
        assert pasted.returncode == 0, pasted.stderr
        answer = json.loads(pasted.stdout)
        assert answer["success"]
        assert answer.get("unassignedDevices", []) == expected
        assert "SN-9999" in answer["skipped"]
        assert answer["devicesRemaining"] == ["SN-1003"]
        ended = server.stop(signal.SIGTERM)
        assert ended.code == 0
        assert "grpcurl -plaintext" in ended.out
        calls.append(call.replace(str(server.port), "PORT"))
        # The key stands in its file and nowhere else.
        assert "da_" not in ended.out + ended.err
    assert calls[0] == calls[1]
    assert (new.folder / "example.api-key").stat().st_mode & 0o077 == 0


def test_a_database_that_is_not_empty_is_left_alone_and_the_printed_command_makes_a_key(
    sqlite: Command, launch: Launch
) -> None:
    (sqlite.folder / "example.api-key").write_text("da_00000000_of-another-database\n")
    server = launch(sqlite, "--example")
    ended = server.stop(signal.SIGTERM)
    assert "da_" not in ended.out
    database = Database(sqlite.url)
    assert len(Keys(database).all()) == 1
    database.close()
    (command,) = re.findall(r"^  (.*key create.*)$", ended.out, re.MULTILINE)
    pasted = subprocess.run(  # noqa: S602  # as in a terminal
        f"{command} --json",
        shell=True,
        cwd=sqlite.folder,
        env=sqlite.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(pasted.stdout)["api_key"].startswith("da_")


def test_the_example_without_its_key_file_gets_a_new_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url, key = f"sqlite:///{tmp_path / 'x.db'}", tmp_path / "example.api-key"
    assert example.prepare(url) is None
    first = key.read_text()
    assert example.prepare(url) is None
    assert key.read_text() == first
    key.unlink()
    assert example.prepare(url) is None
    assert key.read_text() != first
    database = Database(url)
    assert Keys(database).principal(sha256(key.read_text().strip())) is not None
    database.close()


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "open to all"])
def test_the_key_goes_to_a_file_of_its_own_and_never_into_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    key, other = tmp_path / "example.api-key", tmp_path / "public"
    if kind != "dangling link":
        other.touch()
        other.chmod(0o644)
    if kind == "hard link":
        key.hardlink_to(other)
    elif kind == "open to all":
        other.rename(key)
    else:
        key.symlink_to(other)
    assert example.prepare(f"sqlite:///{tmp_path / 'x.db'}") is None
    secret = key.read_text()
    assert secret.startswith("da_")
    assert not key.is_symlink()
    assert key.stat().st_mode & 0o777 == 0o600
    assert not other.exists() or other.read_text() == ""
    assert [file for file in tmp_path.iterdir() if file.name.startswith("example")] == [key]
    assert example.prepare(f"sqlite:///{tmp_path / 'x.db'}") is None
    assert key.read_text() == secret
