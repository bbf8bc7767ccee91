"""Databases to measure on: a prepared one, and as many fresh copies of it as are wanted."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from benchmarks.work import Fleet, Work
from service.domain.keys import SCOPES
from service.storage import bulk, schema
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.organizations import Organizations
from tests.postgres import Postgres


class SQLiteFiles:
    """SQLite databases in a folder."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0

    def create(self) -> str:
        """Makes an empty database and gives its URL."""
        self._made += 1
        return f"sqlite:///{self._folder / f'{self._made}.db'}"

    def copy(self, url: str) -> str:
        """Copies a database that nobody has open."""
        made = self.create()
        shutil.copy(make_url(url).database or "", make_url(made).database or "")
        return made

    def settle(self, url: str) -> None:
        """Does what the database does by itself after large changes: nothing."""

    def drop(self, url: str) -> None:
        """Removes a database."""
        for file in self._folder.glob(f"{Path(make_url(url).database or '').name}*"):
            file.unlink()


class PostgresDatabases:
    """Databases of a PostgreSQL server."""

    name = "PostgreSQL"

    def __init__(self, server: Postgres) -> None:
        self._server = server

    def create(self) -> str:
        """Makes an empty database and gives its URL."""
        return self._server.create()

    def copy(self, url: str) -> str:
        """Copies a database that nobody has open."""
        return self._server.create(make_url(url).database or "")

    def settle(self, url: str) -> None:
        """Does what the database does by itself after large changes."""
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("VACUUM ANALYZE"))
        engine.dispose()

    def drop(self, url: str) -> None:
        """Removes a database."""
        self._server.drop(url)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A database with a fleet in it, never worked on itself."""

    databases: SQLiteFiles | PostgresDatabases
    url: str
    organization_id: str
    key_id: str
    api_key: str = field(repr=False)

    @contextmanager
    def fresh(self, work: Work) -> Iterator[str]:
        """Lends a copy, and checks afterwards that each call of the work was a change of its own."""
        url = self.databases.copy(self.url)
        yield url
        with closing(Database(url)) as database, database.session(write=False) as connection:
            found = connection.execute(
                text(
                    "SELECT (SELECT count(*) FROM operation WHERE kind = 'unassign'),"
                    " (SELECT count(*) FROM assignment_change WHERE change = 2)"
                )
            ).one()
        if tuple(found) != (len(work.calls), work.identifiers):
            raise AssertionError(
                f"{work.name}: found {found} operations and ends, not {len(work.calls), work.identifiers}"
            )
        self.databases.drop(url)


def prepare(databases: SQLiteFiles | PostgresDatabases, fleet: Fleet) -> Prepared:
    """Imports a fleet into a new database."""
    url = databases.create()
    with closing(Database(url)) as database:
        schema.upgrade(database)
        organization_id = Organizations(database).create("bench").id
        key, secret = Keys(database).create(organization_id, SCOPES, None)
        bulk.import_lines(database, organization_id, list(fleet.lines()), skip_bad_lines=False)
    databases.settle(url)
    return Prepared(databases, url, organization_id, key.id, secret)
