"""The lock files pin every package by hash, those that build the project included, and name no address."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.audit import LOCKS

PIN = re.compile(r"^[a-z0-9.-]+==\S+( ; .+)? \\$")


def pinned(lock: str) -> set[str]:
    """The packages of a lock file with their versions, each of which must have a hash."""
    found = set()
    for entry in re.split(r"\n(?=\S)", Path(lock).read_text().strip()):
        first, *hashes = entry.splitlines()
        assert PIN.match(first), first
        assert hashes, first
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes), first
        found.add(first.partition(" ")[0])
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_has_nothing_but_versions_and_hashes(lock: str) -> None:
    assert len(pinned(lock)) > 3


def test_what_builds_the_project_is_pinned_and_agrees_with_what_tests_it() -> None:
    required = tomllib.loads(Path("pyproject.toml").read_text())["build-system"]["requires"]
    build = pinned("requirements-build.lock")
    names = {pin.partition("==")[0] for pin in build}
    assert {re.split(r"[<>=~! ]", requirement)[0] for requirement in required} <= names
    both = {pin for pin in pinned("requirements-dev.lock") if pin.partition("==")[0] in names}
    assert both <= build


def test_what_ships_is_tested() -> None:
    assert pinned("requirements.lock") <= pinned("requirements-dev.lock")
