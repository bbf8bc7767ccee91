"""The two generated files: the OpenAPI document and the page."""

import json
import tomllib
from pathlib import Path

from tools.openapi import document, page

_ROOT = Path(__file__).parent.parent.parent


def write(folder: Path) -> None:
    """Writes both files into a folder.

    Raises:
        DocumentError: a call has no example.
    """
    built = document.build(version())
    # One value a line, so that a change of the contract is readable in a diff.
    text = json.dumps(built, ensure_ascii=False, indent=1) + "\n"
    (folder / "openapi.json").write_text(text, encoding="utf-8")
    (folder / "docs.html").write_text(page.render(built), encoding="utf-8")


def version() -> str:
    """Returns the version in `pyproject.toml`, which becomes the package's."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])
