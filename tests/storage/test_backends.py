"""What differs between databases is in the folders of their backends alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "service"
FOLDERS = ("storage/postgresql/", "storage/sqlite/")
# It looks the backend up by the URL.
EXCEPT = {
    "storage/location.py": {"drivername"},
    "storage/traced_connection.py": {"dialect.name"},  # what spans name the database
}
DRIVERS = {"psycopg", "sqlite3"}


def differences(source: str) -> Iterator[str]:
    """Finds what depends on the database: drivers, dialects of SQLAlchemy, and questions for the dialect's name."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.partition(".")[0] in DRIVERS)
            case ast.ImportFrom(module=str(module)):
                if module.partition(".")[0] in DRIVERS or module.startswith("sqlalchemy.dialects"):
                    yield module
            case ast.Attribute(attr="drivername" | "get_backend_name" as name):
                yield name
            case ast.Attribute(value=ast.Attribute(attr="dialect"), attr="name"):
                yield "dialect.name"
            case ast.Attribute(value=ast.Name(id="dialect"), attr="name"):
                yield "dialect.name"
            case _:
                pass


def test_nothing_outside_of_the_backends_depends_on_the_database() -> None:
    found = {}
    for path in SERVICE.rglob("*.py"):
        name = str(path.relative_to(SERVICE))
        if name.startswith(FOLDERS):
            continue
        if rest := set(differences(path.read_text())) - EXCEPT.get(name, set()):
            found[name] = rest
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import psycopg",
        "from sqlite3 import Error",
        "from sqlalchemy.dialects.postgresql import ARRAY",
        "database.engine.dialect.name == 'sqlite'",
        "dialect.name",
        "make_url(url).drivername",
    ],
)
def test_a_dependence_on_the_database_is_found(source: str) -> None:
    assert list(differences(source))
