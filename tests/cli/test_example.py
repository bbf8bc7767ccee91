"""`serve --example`: the call that it prints works when it is pasted."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import example
from service.storage.database import Database
from service.storage.keys import Keys
from tests.cli.conftest import Command, Launch

VIRTUAL_ENVIRONMENT = Path(sys.executable).parent.parent


def test_the_printed_call_works_when_pasted_and_a_second_start_prints_the_same_key(
    tmp_path: Path, launch: Launch
) -> None:
    new = Command(tmp_path, f"sqlite:///{tmp_path / 'new.db'}")
    # The call names .venv/bin/buf, as one finds it from the folder of a clone.
    (new.folder / ".venv").symlink_to(VIRTUAL_ENVIRONMENT)
    calls = []
    for expected in (["SN-1001", "SN-1002"], []):
        server = launch(new, "--example")
        assert server.process.stdout is not None
        lines = [server.process.stdout.readline() for _ in range(5)]
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
        # The key is printed to whoever started it, and is in no log.
        assert "da_" not in ended.err
    assert calls[0] == calls[1]
    assert (new.folder / "example.api-key").stat().st_mode & 0o077 == 0


def test_a_database_that_is_not_empty_is_left_alone_and_no_key_is_printed(sqlite: Command, launch: Launch) -> None:
    (sqlite.folder / "example.api-key").write_text("da_00000000_of-another-database\n")
    server = launch(sqlite, "--example")
    ended = server.stop(signal.SIGTERM)
    assert "da_" not in ended.out
    assert "Make a key with `device-assignment key create --org NAME`." in ended.out
    database = Database(sqlite.url)
    assert len(Keys(database).all()) == 1
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
    secret = example.prepare(f"sqlite:///{tmp_path / 'x.db'}")
    assert secret is not None
    assert key.read_text() == f"{secret}\n"
    assert not key.is_symlink()
    assert key.stat().st_mode & 0o777 == 0o600
    assert not other.exists() or other.read_text() == ""
    assert [file for file in tmp_path.iterdir() if file.name.startswith("example")] == [key]
    assert example.prepare(f"sqlite:///{tmp_path / 'x.db'}") == secret
