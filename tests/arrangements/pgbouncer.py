"""A PgBouncer of the test's own, in front of a database."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from service.config import PREFIX

VARIABLE = f"{PREFIX}TEST_PGBOUNCER"
"""The variable that names a second PgBouncer, beside the system's."""

_READY_SECONDS = 60.0

_SETTINGS = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
admin_users = postgres
pool_mode = {mode}
"""


def installed() -> dict[str, str | None]:
    """Returns the programs by name: the system's, and the one that a variable names."""
    system = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    return {"system": system, "named": os.environ.get(VARIABLE)}


def found(name: str) -> str:
    """Returns a program, or skips the test."""
    if (path := installed()[name]) is None:
        remedy = "the package pgbouncer is not installed" if name == "system" else f"{VARIABLE} names no program"
        pytest.skip(f"needs PgBouncer: {remedy}")
    return path


def version(program: str) -> tuple[int, ...]:
    """Returns a program's version."""
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, shown.split()[1].split(".")))


def free_port() -> int:
    """Returns a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class PgBouncer:
    """A running PgBouncer.

    Args:
        program: the program.
        folder: where its files are.
        mode: `transaction`, `session` or `statement`.
    """

    def __init__(self, program: str, folder: Path, mode: str) -> None:
        self._folder = folder
        self._mode = mode
        self._port = free_port()
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def lead_to(self, host: str, port: int) -> None:
        """Has new connections to the database go to a server. A running PgBouncer replaces those that it has."""
        user = Path(host).owner() if host.startswith("/") else "nobody"
        text = _SETTINGS.format(host=host, port=port, listen=self._port, folder=self._folder, mode=self._mode)
        (self._folder / "settings.ini").write_text(text)
        (self._folder / "users").write_text('"postgres" ""\n')
        if self._process is not None:
            with psycopg.connect(self._url("pgbouncer"), autocommit=True, prepare_threshold=None) as console:
                console.pgconn.exec_(b"RELOAD")
            return
        # As root it has to run as another user: as the one that may use the database's socket.
        command = [self._program, *(["-u", user] if os.geteuid() == 0 else []), str(self._folder / "settings.ini")]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + _READY_SECONDS
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until, "PgBouncer does not start"
            time.sleep(0.05)

    def url(self, database: str) -> str:
        """Returns the URL of a database of the server."""
        return self._url(database).replace("postgresql:", "postgresql+psycopg:")

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def started(program: str, mode: str) -> Iterator[PgBouncer]:
    """Makes a PgBouncer, which begins when it is to lead somewhere, and stops it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="da-pgbouncer-"))
    folder.chmod(0o755)
    pooler = PgBouncer(program, folder, mode)
    try:
        yield pooler
    finally:
        pooler.stop()
        shutil.rmtree(folder)


@contextmanager
def running(program: str, url: str, mode: str = "transaction") -> Iterator[str]:
    """Starts a PgBouncer before a database. Yields the URL that leads through it."""
    target = make_url(url)
    with started(program, mode) as pooler:
        pooler.lead_to(str(target.query.get("host") or target.host), target.port or 5432)
        yield pooler.url(str(target.database))
