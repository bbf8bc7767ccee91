"""SQLite databases for tests: copies of one that was migrated once in this process."""

import functools
import tempfile
from pathlib import Path

from service.storage import schema
from service.storage.database import Database
from service.storage.sqlite import connect as sqlite


def fresh(path: Path) -> str:
    """Makes a database with today's tables at a path. Returns its URL."""
    sqlite.make_file(str(path))
    path.write_bytes(_template())
    return f"sqlite:///{path}"


@functools.cache
def _template() -> bytes:
    """Migrates a database and reads its file, which has everything in it once the last connection is closed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        database = Database(f"sqlite:///{path}")
        schema.upgrade(database)
        database.close()
        assert [each.name for each in path.parent.iterdir()] == [path.name]
        return path.read_bytes()
