"""`make check` refuses protos that would break a client."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests import contract

pytestmark = pytest.mark.process

DEVICE = Path("protos/deviceassignment/v1/device.proto")


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes a repository of the protos and their contract, and works in it."""
    shutil.copytree("protos", tmp_path / "protos")
    shutil.copy("buf.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git("init", "--quiet")
    commit()
    return tmp_path


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments], check=True)


def commit() -> None:
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", "Change the protos")


def replace(old: str, new: str) -> None:
    text = DEVICE.read_text()
    assert text.count(old) == 1
    DEVICE.write_text(text.replace(old, new))


def rename_a_field() -> None:
    replace("int32 not_found = 3;", "int32 unknown = 3;")


def test_the_contract_of_this_commit_is_fresh() -> None:
    assert contract.problems() == []


def test_a_comment_is_no_change_of_the_contract() -> None:
    replace("// A device.\n", "// A unit of hardware.\n")
    assert contract.problems() == []


def test_a_renamed_field_is_named_with_what_to_do() -> None:
    rename_a_field()
    *breaks, advice = contract.problems()
    assert any(line.startswith(f"{DEVICE}:") and '"not_found" to "unknown"' in line for line in breaks)
    assert advice.startswith("clients would break; if that is intended, run `make contract`")


def test_an_additional_field_needs_a_renewed_contract_but_breaks_nothing() -> None:
    replace("int32 not_found = 3;", "int32 not_found = 3;\n  // Something new.\n  int32 fresh = 99;")
    (problem,) = contract.problems()
    assert problem.startswith("protos/contract.yaml is not what the protos make; run `make contract`")
    contract.build(contract.CONTRACT)
    assert contract.problems() == []


def test_before_the_first_release_a_renewed_contract_allows_a_break() -> None:
    git("tag", "v1.0.0rc1")
    rename_a_field()
    contract.build(contract.CONTRACT)
    assert contract.problems() == []


def test_after_a_release_no_renewed_contract_allows_a_break() -> None:
    git("tag", "v1.0.0")
    rename_a_field()
    contract.build(contract.CONTRACT)
    commit()
    *breaks, advice = contract.problems()
    assert any('"not_found" to "unknown"' in line for line in breaks)
    assert advice == "clients of v1.0.0 would break; add fields, rpcs or a package instead"


def test_the_newest_release_counts() -> None:
    git("tag", "v1.0.0")
    rename_a_field()
    contract.build(contract.CONTRACT)
    commit()
    git("tag", "v2.0.0")
    assert contract.problems() == []


def test_a_folder_without_a_repository_is_compared_with_its_own_contract(repository: Path) -> None:
    shutil.rmtree(repository / ".git")
    assert contract.problems() == []
    rename_a_field()
    assert contract.problems()
