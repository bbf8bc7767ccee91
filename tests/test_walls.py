"""The contracts of imports hold for folders and modules that are added, too."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
LAYERS = [name.strip() for layer in CONTRACTS[0]["layers"] for name in layer.split("|")]

# A contract about one of these says what is special of it. All others are about the whole service.
ONE_FOLDER = {"service.domain", "service.rest_gateway"}

# What the gateway, a client, may use of the folders and modules below it.
OF_THE_GATEWAY = {"grpc_client", "method_table", "metrics", "runtime", "tracing", "version"}


def test_contracts_are_about_the_whole_service_or_one_folder() -> None:
    for contract in CONTRACTS[1:]:
        (source,) = contract["source_modules"]
        assert source == "service" or source in ONE_FOLDER, contract["name"]


def test_the_gateway_may_use_only_what_a_client_needs() -> None:
    (contract,) = (each for each in CONTRACTS[1:] if each["source_modules"] == ["service.rest_gateway"])
    forbidden = {name.removeprefix("service.") for name in contract["forbidden_modules"]}
    below = LAYERS[LAYERS.index("rest_gateway") + 1 :]
    beside = next(layer for layer in CONTRACTS[0]["layers"] if "rest_gateway" in layer).split(" | ")
    assert {*below, *beside} - forbidden - {"rest_gateway"} == OF_THE_GATEWAY


@pytest.mark.process
@pytest.mark.parametrize(
    ("file", "text", "named"),
    [
        ("service/newcomer.py", "", "newcomer"),
        ("service/newcomer/__init__.py", "", "newcomer"),
        ("service/grpc_server/newcomer.py", "from service import config\n", "service.config"),
        ("service/supervision/newcomer.py", "import sqlalchemy\n", "sqlalchemy"),
        ("service/cli/newcomer.py", "import grpc\n", "grpc"),
        ("service/storage/newcomer.py", "import uvicorn\n", "uvicorn"),
    ],
)
def test_a_new_module_is_held_by_the_contracts(tmp_path: Path, file: str, text: str, named: str) -> None:
    for folder in ("service", "generated", "tools"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "service").unlink()
    _link(ROOT / "service", tmp_path / "service")
    (tmp_path / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(f'"""A module."""\n\n{text}')
    script = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(tmp_path / 'generated')!r}]; "
    script += "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", script, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "newcomer" in done.stdout
    assert named in done.stdout


def _link(source: Path, target: Path) -> None:
    """Makes the folders anew, so that files can be added, and links to the files."""
    target.mkdir()
    for path in source.iterdir():
        if path.name == "__pycache__":
            continue
        if path.is_dir():
            _link(path, target / path.name)
        else:
            (target / path.name).symlink_to(path)
