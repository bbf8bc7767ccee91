"""Every `ON CONFLICT` names its target."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


# Without a target, any conflict is taken for the expected one.
UNTARGETED = re.compile(
    r"ON\s+CONFLICT(?!\s*\()|INSERT\s+OR\s+(IGNORE|REPLACE)|\bREPLACE\s+INTO|on_conflict_do_\w+\(\s*\)",
    re.IGNORECASE,
)


def untargeted(text: str) -> list[str]:
    """Finds the statements that would accept any conflict. Text in backticks is not SQL."""
    return [found.group() for found in UNTARGETED.finditer(re.sub(r"`[^`\n]*`", "", text))]


def test_every_on_conflict_names_its_target() -> None:
    sources = [path for folder in ("service", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100
    found = {
        str(path.relative_to(ROOT)): words
        for path in sources
        if path != Path(__file__) and (words := untargeted(path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT INTO t VALUES (1)\non conflict\n  do update set a = 1",
        "INSERT OR IGNORE INTO t VALUES (1)",
        "insert(t).on_conflict_do_nothing()",
    ],
)
def test_one_without_a_target_is_found(text: str) -> None:
    assert untargeted(text)
