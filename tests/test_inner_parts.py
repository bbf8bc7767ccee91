"""docs/inner-parts.md names files and tests that exist, and every file that uses private names of a library."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "inner-parts.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| library")
]
# Documented by Python, in spite of their names.
DOCUMENTED = {"_make", "_replace", "_asdict", "_exit"}
LIBRARIES = {"grpc", "uvicorn", "h11", "sqlalchemy", "psycopg", "starlette", "alembic"}


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def private_names(source: str) -> Iterator[str]:
    """Finds private names of libraries: modules, and attributes of anything but `self` and `cls`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}):
                yield node.attr
            continue
        else:
            continue
        for module in modules:
            library, *parts = module.split(".")
            if library in LIBRARIES and any(map(private, parts)):
                yield module


def test_the_page_has_rows_of_each_library() -> None:
    assert {row[0] for row in ROWS} == {"grpcio", "uvicorn", "h11", "SQLAlchemy", "psycopg"}
    assert {len(row) for row in ROWS} == {5}


def test_the_files_and_the_tests_of_the_page_exist() -> None:
    for row in ROWS:
        files = re.findall(r"`(service/[^`]+)`", row[2])
        assert files, row
        assert all((ROOT / file).is_file() for file in files), row
        tests = re.findall(r"`(tests/[^`]+)`", row[4])
        assert tests, row
        for test in tests:
            file, _, name = test.partition("::")
            assert (ROOT / file).is_file(), test
            assert not name or f"def {name}(" in (ROOT / file).read_text(), test


def test_every_file_that_uses_a_private_name_is_on_the_page() -> None:
    named = {file for row in ROWS for file in re.findall(r"`(service/[^`]+)`", row[2])}
    using = {
        str(path.relative_to(ROOT)): found
        for path in (ROOT / "service").rglob("*.py")
        if (found := sorted(set(private_names(path.read_text()))))
    }
    assert "service/grpc_server/receiving.py" in using
    assert {file: names for file, names in using.items() if file not in named} == {}


def test_private_names_are_found() -> None:
    assert list(private_names("import grpc._server as inner\nfrom grpc._cython import cygrpc")) == [
        "grpc._server",
        "grpc._cython.cygrpc",
    ]
    assert list(private_names("engine._inner\nself._own\nself.conn._buffer\nengine.__class__")) == ["_inner", "_buffer"]
