"""A process that is short of descriptors: it raises its limit, keeps its connections below it, and says so seldom."""

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.runtime import open_files
from service.storage import schema
from service.storage.database import Database
from tests.conftest import Client, new_tenant
from tests.rest_gateway.rest import EXECUTABLE, Http, Rest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 60


def under(soft: int, hard: int, *arguments: str | Path, log: Path, **variables: str) -> subprocess.Popen[bytes]:
    """Starts a command with so many descriptors; what it logs goes to a file."""
    shell = f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$@"'
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DEVICE_ASSIGNMENT_")}
    with log.open("wb") as stream:
        return subprocess.Popen(
            ["bash", "-c", shell, "bash", *arguments], cwd=ROOT, env=inherited | variables, stderr=stream
        )


def raised(soft: int, hard: int) -> int:
    """Returns what a process with these limits raises its soft limit to."""
    script = "from service.runtime import open_files; print(open_files.raise_limit())"
    command = ["bash", "-c", f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$@"', "bash", sys.executable, "-c", script]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    assert raised(256, 1_024) == 1_024
    assert raised(512, 512) == 512


def test_the_limit_is_not_raised_beyond_reason() -> None:
    assert open_files.raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= open_files.MOST


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[tuple[Path, dict[str, int], str]]:
    """Serves with 128 open_files. Gives the log, the ports, and a key."""
    url = f"sqlite:///{folder / 'test.db'}"
    database = Database(url)
    schema.upgrade(database)
    key = new_tenant(database).api_key
    database.close()
    log = folder / "log"
    process = under(
        128, 128, EXECUTABLE, "serve", "--grpc-address", "127.0.0.1:0", *arguments, log=log,
        DEVICE_ASSIGNMENT_DATABASE_URL=url,
    )  # fmt: skip
    try:
        mark = '"all workers serving"' if "--rest-address" in arguments else '"serving"'
        wait_for(lambda: mark in log.read_text(), log.read_text)
        line = next(json.loads(line) for line in log.read_text().splitlines() if mark in line)
        yield log, {"grpc": line["port"], "rest": line.get("rest_port", 0)}, key
    finally:
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0


def wait_for(condition: Callable[[], object], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


@contextmanager
def silent(port: int, count: int) -> Iterator[None]:
    """Holds connections that send nothing; some of them may wait in the system's queue, or be closed."""
    with ExitStack() as held:
        for _ in range(count):
            connection = held.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", port))
        yield


def test_the_connections_of_several_addresses_leave_descriptors_for_the_database(tmp_path: Path) -> None:
    def each(folder: Path, *arguments: str) -> int:
        folder.mkdir()
        with serving(folder, *arguments) as (log, _, _):
            events = map(json.loads, log.read_text().splitlines())
            return next(int(event["connections"]) for event in events if event["event"] == "fewer connections than set")

    one = each(tmp_path / "one")
    assert each(tmp_path / "two", "--grpc-address", "127.0.0.1:0") == one // 2


def test_more_silent_connections_than_descriptors_leave_rest_served_and_the_log_short(tmp_path: Path) -> None:
    with serving(tmp_path, "--rest-address", "127.0.0.1:0") as (log, ports, key):
        assert '"fewer connections than set"' in log.read_text()
        with silent(ports["rest"], 140):
            rest = Rest(Http(ports["rest"]), key)

            def served() -> bool:
                try:
                    return rest("/customer/queryCustomer", email="a@example.com").status == 404
                except OSError:
                    return False

            wait_for(served, lambda: "never served")
            before = log.stat().st_size
            time.sleep(3)
            assert log.stat().st_size - before < 20_000


def test_more_silent_connections_to_grpc_than_descriptors_leave_the_database_reachable(tmp_path: Path) -> None:
    with serving(tmp_path) as (log, ports, key):
        assert '"fewer connections than set"' in log.read_text()
        client = Client(ports["grpc"])
        request = pb.LookupOwnersRequest(device_identifiers=["A"])

        def look_up(client: Client) -> None:
            lookup: Any = client.assignments.LookupOwners
            lookup(request, metadata=(("x-api-key", key),), timeout=PATIENCE_SECONDS, wait_for_ready=True)

        look_up(client)
        with silent(ports["grpc"], 300):
            for _ in range(5):
                before = log.stat().st_size
                look_up(client)
                time.sleep(1)
                assert log.stat().st_size - before < 20_000
            newcomer = Client(ports["grpc"])  # it comes in when those that say nothing have been closed
            look_up(newcomer)
            newcomer.channel.close()
        assert "NOT_SERVING" not in log.read_text()
        client.channel.close()


def test_a_listener_without_descriptors_waits_and_says_so_once_a_second(tmp_path: Path) -> None:
    """Its own limit is set too high here, as where others of the process have taken the open_files."""
    script = """
import threading
from service.runtime import log
from service.rest_gateway.application import Options
from service.rest_gateway.server import Runner, Target
from service.rest_gateway.sockets import listen
log.configure(json=True)
listening = listen("127.0.0.1:0")
options = Options(max_body_bytes=1000, buffered_bytes=1000, connections=1000, seconds=60, keep_alive_seconds=15)
runner = Runner(Target("127.0.0.1:1"), options, 1)
threading.Thread(target=lambda: (input(), runner.stop())).start()
runner.run(listening, lambda: print(listening[0].getsockname()[1], flush=True))
"""
    log = tmp_path / "log"
    shell = 'ulimit -n 64; exec "$@"'
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", sys.executable, "-c", script],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": "generated"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream,
        )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with silent(port, 140):
        wait_for(lambda: "cannot accept connections" in log.read_text(), log.read_text)
        time.sleep(3)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert {line["event"] for line in lines} == {"cannot accept connections"}
        assert lines[0]["problem"] == "Too many open files"
        assert len(lines) < 20
    # When they are gone it goes on.
    wait_for(lambda: Http(port).send("GET", "/healthz").status == 200, lambda: "never served")
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.wait(PATIENCE_SECONDS) == 0
    process.stdout.close()


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["alone", "two workers"])
def test_more_silent_connections_than_descriptors_keep_the_log_of_grpc_short(
    tmp_path: Path, workers: tuple[str, ...]
) -> None:
    with serving(tmp_path, *workers) as (log, ports, _), silent(ports["grpc"], 300):
        time.sleep(2)
        before = log.stat().st_size
        time.sleep(4)
        assert log.stat().st_size - before < 100_000
