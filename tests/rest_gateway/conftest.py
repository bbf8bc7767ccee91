"""Fixtures: one SQLite database, one server and one gateway for all these tests, a fresh organisation for each."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from service.app import Service
from service.config import Settings
from service.grpc_client.metadata import KEY_CHECK, RESUME_TOKEN
from service.rest_gateway import protocol
from service.rest_gateway.application import Options
from service.rest_gateway.server import Runner, Target
from service.rest_gateway.sockets import listen
from service.storage.database import Database
from tests import sqlite_files
from tests.conftest import Tenant, new_tenant, stop
from tests.rest_gateway.rest import EventStream, Gateway, Rest

Launch = Callable[..., Gateway]
Begin = Callable[..., tuple[Service, int]]
Watch = Callable[..., EventStream]
Local = Callable[..., int]


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database. SQLite is enough, because the gateway does not depend on the database."""
    return sqlite_files.fresh(tmp_path_factory.mktemp("gateway") / "test.db")


@pytest.fixture(scope="session")
def database(database_url: str) -> Iterator[Database]:
    """The database, opened beside the server as by an operator's command."""
    opened = Database(database_url, 20)
    yield opened
    opened.close()


@pytest.fixture
def tenant(database: Database) -> Tenant:
    """An organisation with a key of all scopes."""
    return new_tenant(database, f"acme {uuid.uuid4()}")


@pytest.fixture
def begin(database_url: str) -> Iterator[Begin]:
    """Starts gRPC servers: `begin(rate_limit=1)` returns the service and its port."""
    started: list[Service] = []

    def start(address: str = "127.0.0.1:0", tls: Any = None, **settings: Any) -> tuple[Service, int]:
        service = Service(Settings(database_url=database_url, **{"drain_seconds": 5, **settings}))
        started.append(service)
        return service, service.start(address, tls=tls)

    yield start
    for service in started:
        if not service._stopping.is_set():
            stop(service)


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts gateways: `launch(port, "--tls-cert", …, drain_seconds="1")`."""
    started: list[Gateway] = []

    def start(target: int | str, *arguments: str, **settings: Any) -> Gateway:
        address = f"127.0.0.1:{target}" if isinstance(target, int) else target
        started.append(Gateway(address, *arguments, **settings))
        return started[-1]

    yield start
    for gateway in started:
        gateway.stop()


class Scripted(grpc.GenericRpcHandler):
    """A server that answers every call as the test wants, and records the metadata of the last call.

    Attributes:
        answer: takes the call's context; it may abort it.
        check: the same, for the check of a key.
        bytes: the answer; an empty message by default.
        metadata: the last call's.
        seconds: how much time the last call had.
        gateway: the one in front of it.
        count: how many answers a stream has.
        sent: how many of them the last one was asked for.
    """

    gateway: Gateway
    count = 0
    sent = 0

    def __init__(self) -> None:
        self.answer: Callable[[grpc.ServicerContext], None] = lambda _context: None
        self.check: Callable[[grpc.ServicerContext], None] = lambda _context: None
        self.bytes = b""
        self.metadata: dict[str, str] = {}
        self.seconds: float | None = None
        self.server = grpc.server(ThreadPoolExecutor(4), handlers=[self])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def service(self, handler_call_details: Any) -> Any:
        """Handles every call."""

        def respond(_request: bytes, context: grpc.ServicerContext) -> bytes:
            self.metadata = {key: str(value) for key, value in context.invocation_metadata()}
            self.seconds = context.time_remaining()
            self.answer(context)
            return self.bytes

        def stream(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            context.send_initial_metadata(((RESUME_TOKEN, "begin"),))
            for self.sent in range(1, self.count + 1):  # noqa: B020  # the test reads it meanwhile
                yield self.bytes

        if handler_call_details.method == f"/{KEY_CHECK}":

            def check(_request: bytes, context: grpc.ServicerContext) -> bytes:
                self.check(context)
                return b""

            return grpc.unary_unary_rpc_method_handler(check)
        if handler_call_details.method.endswith("/WatchOperations"):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(respond)


def waiting(free: threading.Event) -> Callable[[grpc.ServicerContext], None]:
    """Makes a scripted server wait until the test sets an event."""

    def wait(_context: grpc.ServicerContext) -> None:
        free.wait(60)

    return wait


@pytest.fixture(scope="session")
def script() -> Iterator[tuple[Scripted, Gateway]]:
    """A scripted server and a gateway in front of it."""
    made = Scripted()
    before = Gateway(f"127.0.0.1:{made.port}")
    yield made, before
    before.stop()
    made.server.stop(None).wait()


@pytest.fixture
def scripted(script: tuple[Scripted, Gateway]) -> Scripted:
    """A server for what the real one cannot be made to do, or does not show."""
    made, before = script
    made.answer, made.bytes, made.gateway = lambda _context: None, b"", before
    made.check = lambda _context: None
    return made


@pytest.fixture(scope="session")
def server(database_url: str) -> Iterator[int]:
    """The port of a gRPC server with the usual settings."""
    service = Service(Settings(database_url=database_url, drain_seconds=5))
    yield service.start("127.0.0.1:0")
    service.stop()


@pytest.fixture(scope="session")
def gateway(server: int) -> Iterator[Gateway]:
    """A gateway with the usual settings."""
    started = Gateway(f"127.0.0.1:{server}")
    yield started
    assert started.stop() == 0


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Opens streams: `watch(rest, "?fromNow=true", last_event_id=…)`."""
    opened: list[EventStream] = []

    def start(rest: Rest, query: str = "", **headers: str) -> EventStream:
        opened.append(EventStream(rest, query, **headers))
        return opened[-1]

    yield start
    for stream in opened:
        stream.close()


@pytest.fixture
def rest(gateway: Gateway, tenant: Tenant) -> Rest:
    """The gateway, called by the organisation."""
    return Rest(gateway, tenant.api_key)


@pytest.fixture
def runners() -> list[Runner]:
    """The gateways of this process."""
    return []


@pytest.fixture
def local(scripted: Scripted, monkeypatch: pytest.MonkeyPatch, runners: list[Runner]) -> Iterator[Local]:
    """Serves in this process, with other time-outs: `local(IDLE_SECONDS=0.2)` returns the port."""
    started: list[tuple[Runner, threading.Thread]] = []

    def start(connections: int = 1_000, **times: float) -> int:
        for name, seconds in times.items():
            monkeypatch.setattr(protocol, name, seconds)
        options = Options(
            max_body_bytes=10_000_000,
            buffered_bytes=1_000_000_000,
            connections=connections,
            seconds=60,
            keep_alive_seconds=15,
        )
        runner = Runner(Target(f"127.0.0.1:{scripted.port}"), options, 1)
        runners.append(runner)
        listening = listen("127.0.0.1:0")
        port: int = listening[0].getsockname()[1]
        ready = threading.Event()
        thread = threading.Thread(target=runner.run, args=(listening, ready.set))
        thread.start()
        started.append((runner, thread))
        assert ready.wait(60)
        return port

    yield start
    for runner, thread in started:
        runner.stop()
        thread.join(60)
