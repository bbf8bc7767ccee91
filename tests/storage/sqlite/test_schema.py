"""Files that are missing, new, or no databases."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from service.domain.errors import DatabaseUnavailable
from service.storage import schema
from service.storage.database import Database
from service.storage.sqlite import backend as sqlite


@pytest.fixture
def written(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A new file that another connection is writing to, for which SQLite refuses WAL mode without waiting."""
    writer = sqlite3.connect(tmp_path / "empty.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    yield writer
    writer.close()


def test_a_new_sqlite_file_is_waited_for(written: sqlite3.Connection, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    release = threading.Timer(0.3, written.rollback)
    release.start()
    assert schema.upgrade(database) == ("", schema.head())
    with database.session() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
    database.close()
    release.join()


def test_a_new_sqlite_file_is_not_waited_for_without_end(
    written: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_WAIT_SECONDS", 0.2)
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match=r"^the database /.*empty\.db is in use by another process; "):
        schema.upgrade(database)
    assert time.monotonic() - started >= 0.2
    assert written.in_transaction
    database.close()


def test_a_missing_sqlite_file_is_named_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "missing.db"
    database = Database(f"sqlite:///{path}")
    with pytest.raises(schema.NotCurrent, match=r"there is no database file .*missing\.db; run .* to make it"):
        schema.check(database)
    database.close()
    assert not path.exists()


def test_an_sqlite_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    database = Database(f"sqlite:///{path}")
    schema.upgrade(database)
    database.close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("This is a text and not a database. " * 100)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(DatabaseUnavailable, match=r"cannot open the database /.*text\.db: file is not a database"):
        schema.check(database)
    database.close()
