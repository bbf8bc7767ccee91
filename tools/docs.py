"""Writes the parts of the documents that are made from other files: `python -m tools.docs`, which `make docs` runs.

Each part stands between two comments in its document; `make check` fails while it differs from what is made.
"""

import re
from collections.abc import Callable
from pathlib import Path

from tools import architecture, benchmark_table, metrics_table, scopes_table, settings_table

_ROOT = Path(__file__).parent.parent
_TABLES: tuple[tuple[str, str, Callable[[], list[str]]], ...] = (
    ("docs/operate.md", "settings", settings_table.rows),
    ("docs/operate.md", "scopes", scopes_table.rows),
    ("docs/operate.md", "metrics", metrics_table.rows),
    ("docs/performance.md", "benchmarks", benchmark_table.rows),
    ("README.md", "benchmarks", benchmark_table.short_rows),
)


def made() -> dict[Path, str]:
    """Returns what each file has to be."""
    found = {_ROOT / "docs" / "architecture.svg": architecture.draw()}
    for name, part, rows in _TABLES:
        path = _ROOT / name
        text = found.get(path) or path.read_text(encoding="utf-8")
        begin, end = f"<!-- {part}: made by `make docs` -->", f"<!-- end of {part} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{name} has no part between {begin} and {end}")
        table = "\n".join([begin, "", *rows(), "", end])
        found[path] = pattern.sub(table.replace("\\", r"\\"), text)
    return found


def stale() -> list[str]:
    """Names the files that differ from what is made."""
    return [
        str(path.relative_to(_ROOT))
        for path, text in made().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main() -> None:
    """Writes the files."""
    for path, text in made().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
