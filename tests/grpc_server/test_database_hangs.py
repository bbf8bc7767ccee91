"""A database that hangs without refusing: health says so soon, and says when it goes on."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2
from sqlalchemy import make_url

from service.storage.database import Database
from service.storage.probe import Probe
from tests import postgres
from tests.conftest import Client, Tenant
from tests.grpc_server.conftest import Run, eventually, health_of
from tests.postgres import Own

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def own() -> Iterator[Own]:
    """A server that nobody else uses, because it is made to hang."""
    with postgres.own(postgres.memory()) as started:
        yield started


@pytest.fixture
def database_url(own: Own) -> Iterator[str]:
    """A database on that server."""
    url = own.server.fresh()
    yield url
    own.server.drop(url)


def processes(own: Own) -> list[int]:
    """The server's processes, the one that begins the others first."""
    stats = (path.read_text() for path in Path("/proc").glob("[0-9]*/stat"))
    fields = [(int(stat.split()[0]), int(stat.rpartition(")")[2].split()[1])) for stat in stats]
    return [own.pid, *(pid for pid, parent in fields if parent == own.pid)]


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@contextmanager
def hanging(own: Own) -> Iterator[None]:
    """Stops every process of the server where it is, for as long as a block runs."""
    os.kill(own.pid, signal.SIGSTOP)  # first, so that it begins no more
    eventually(lambda: is_stopped(own.pid))  # it may have been about to begin one
    stopped = processes(own)
    for pid in stopped[1:]:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def health(client: Client) -> int:
    state: int = health_of(client).Check(health_pb2.HealthCheckRequest(), timeout=60).status
    return state


def test_health_notices_that_the_database_hangs_and_that_it_goes_on(run: Run, tenant: Tenant, own: Own) -> None:
    running = run(key_cache_seconds=0)
    tenant.assign("ada@example.com", ["A"])
    assert running.client.devices(tenant, "ada@example.com") == ["A"]
    assert health(running.client) == SERVING
    with hanging(own):
        waiting = running.unassigning(tenant, "ada@example.com", ["A"])
        began = time.monotonic()
        eventually(lambda: health(running.client) == NOT_SERVING)
        # Longer than it takes to give up on several connections: it stays so, and no thread is left for each question.
        while time.monotonic() - began < 8:
            assert health(running.client) == NOT_SERVING
            time.sleep(0.1)
        assert sum(thread.name == "probe" for thread in threading.enumerate()) < 8
    eventually(lambda: health(running.client) == SERVING)
    assert list(waiting.result(timeout=120).unassigned_devices) == ["A"]
    eventually(lambda: sum(thread.name == "probe" for thread in threading.enumerate()) <= 1)


class Relay:
    """Stands between a client and a PostgreSQL's socket, and swallows what passes when it is told to."""

    def __init__(self, database: Database) -> None:
        with database.session(write=False) as connection:
            info = connection.connection.driver_connection.info  # type: ignore[union-attr]  # psycopg's
            self._target = f"{info.host}/.s.PGSQL.{info.port}"
        self.swallows = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        lost = False
        try:
            while data := source.recv(65_536):
                lost |= self.swallows  # a connection that has lost something never works again
                if not lost:
                    sink.sendall(data)
        except OSError:
            """Closed by the end of the test."""

    def close(self) -> None:
        """Closes all of it."""
        for each in (self._listening, *self._open):
            each.close()


def test_a_connection_that_swallows_what_is_sent_is_given_up_for_a_new_one(database: Database, tenant: Tenant) -> None:
    relay = Relay(database)
    url = make_url(database.url).set(host="127.0.0.1", port=relay.port, query={})
    probe = Probe(url.render_as_string(hide_password=False), 1.0)
    assert probe.ask().reads
    relay.swallows = True
    began = time.monotonic()
    assert not probe.ask().reads
    assert not probe.ask().reads
    # The network itself gives up after fifteen seconds.
    assert time.monotonic() - began < 14
    relay.swallows = False
    assert probe.ask().reads
    probe.close()
    relay.close()
