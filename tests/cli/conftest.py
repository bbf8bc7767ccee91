"""The real `device-assignment` command, as an operator runs it: with pipes, on a terminal, in the background."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.storage.database import Database
from tests import sqlite_files
from tests.conftest import new_tenant

EXECUTABLE = Path(sys.executable).parent / "device-assignment"
NO_DATABASE = "postgresql+psycopg://nobody:hunter2@127.0.0.1:1/nothing"


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as one JSON value."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class Command:
    """The command with a database and a working folder."""

    folder: Path
    url: str

    def environment(self, **variables: str) -> dict[str, str]:
        """Returns the environment of a run: this process's, with no settings but the test's."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DEVICE_ASSIGNMENT_")}
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # dozens of starts, each a third faster
        return inherited | {"DEVICE_ASSIGNMENT_DATABASE_URL": self.url} | variables

    def __call__(self, *arguments: str, stdin: str = "", **variables: str) -> Answer:
        """Runs it to its end, with pipes."""
        done = subprocess.run(
            [EXECUTABLE, *arguments],
            cwd=self.folder,
            env=self.environment(**variables),
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def each(self, *runs: tuple[str, ...]) -> list[Answer]:
        """Runs several at once, which saves time where they do not depend on each other."""
        with ThreadPoolExecutor(4) as threads:
            return list(threads.map(lambda arguments: self(*arguments), runs))

    def file(self, *lines: str) -> str:
        """Writes a file to import. Gives its name."""
        path = self.folder / "assignments.csv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(path)

    def on_terminal(self, *arguments: str, interrupt_after: bytes = b"") -> Answer:
        """Runs it on a terminal of 80 columns, where both outputs are one, to its end or till Ctrl-C is pressed."""
        terminal, theirs = pty.openpty()
        with subprocess.Popen(
            [EXECUTABLE, *arguments],
            cwd=self.folder,
            env=self.environment(TERM="xterm", COLUMNS="80"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            shown = b""
            while piece := _read(terminal):
                shown += piece
                if interrupt_after and interrupt_after in shown:
                    process.send_signal(signal.SIGINT)
                    interrupt_after = b""
        os.close(terminal)
        return Answer(process.returncode, shown.decode(), "")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux says that nobody writes any more
        return b""


class Server:
    """`serve` in the background, on a free port unless the arguments have an address.

    With one worker, unless the arguments say how many, or `chooses`: then the command chooses.
    """

    def __init__(
        self, command: Command, arguments: tuple[str, ...], *, chooses: bool = False, **variables: str
    ) -> None:
        address = () if "--grpc-address" in arguments else ("--grpc-address", "127.0.0.1:0")
        workers = () if chooses or "--workers" in arguments else ("--workers", "1")
        self.process = subprocess.Popen(
            [EXECUTABLE, "serve", *address, *workers, *arguments],
            cwd=command.folder,
            env=command.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.log: list[str] = []
        supervised = {"--workers", "--rest-address"} & set(arguments)
        self._mark = '"workers chosen"' if chooses else '"all workers serving"' if supervised else '"serving"'
        self._serving = threading.Event()
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()
        self._serving.wait(120)
        marked = next((line for line in self.log if self._mark in line), None)
        if marked is None:
            pytest.fail(f"the server did not start: {self.stop(signal.SIGKILL).err}")
        served = next(line for line in reversed(self.log[: self.log.index(marked) + 1]) if '"port"' in line)
        self.port: int = json.loads(served)["port"]
        self.rest_port: int = json.loads(served).get("rest_port", 0)

    def _follow(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if self._mark in line:
                self._serving.set()
        self._serving.set()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log: each line must be a JSON object."""
        return [json.loads(line) for line in self.log]

    @property
    def processes(self) -> dict[str, int]:
        """The supervisor's processes by their names, as the log tells them."""
        return {event["name"]: event["pid"] for event in self.events if event["event"] == "process started"}

    def stop(self, number: int) -> Answer:
        """Sends a signal and waits for the end."""
        self.process.send_signal(number)
        out = self.process.stdout.read() if self.process.stdout else ""
        self.process.wait(120)
        self._reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return Answer(self.process.returncode, out, "".join(self.log))


def alive(pid: int) -> bool:
    """Whether a process lives; one that has ended and is not buried does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


Launch = Callable[..., Server]


@pytest.fixture
def command(database_url: str, tmp_path: Path) -> Command:
    """The command with an up-to-date database, of each kind."""
    return Command(tmp_path, database_url)


@pytest.fixture
def sqlite(tmp_path: Path) -> Command:
    """The command with an SQLite database with the organisation acme, for what does not depend on the kind."""
    command = Command(tmp_path, sqlite_files.fresh(tmp_path / "test.db"))
    database = Database(command.url)
    new_tenant(database)
    database.close()
    return command


@pytest.fixture
def plain(tmp_path: Path) -> Command:
    """The command with a database that cannot be reached, for what is found out before."""
    return Command(tmp_path, NO_DATABASE)


@pytest.fixture(params=["sqlite", "postgresql"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Command]:
    """The command with a database that has no tables yet, of each kind."""
    if request.param == "sqlite":
        yield Command(tmp_path, f"sqlite:///{tmp_path / 'new.db'}")
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create()
    yield Command(tmp_path, url)
    server.drop(url)


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts servers: `launch(command, "--example")`."""
    started: list[Server] = []

    def start(command: Command, *arguments: str, chooses: bool = False, **variables: str) -> Server:
        server = Server(command, arguments, chooses=chooses, **variables)
        started.append(server)
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)
