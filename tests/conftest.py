"""Fixtures: a fresh database of each kind, an organisation with a key, and a real server with a real client."""

import gc
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.customer_pb2_grpc import CustomerServiceStub
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo
from grpc_status import rpc_status
from hypothesis import HealthCheck, settings

from service.app import Service
from service.config import Settings
from service.domain.import_lines import Line, read_lines
from service.domain.keys import SCOPES
from service.grpc_server import call
from service.grpc_server import server as server_module
from service.runtime.log_limits import LogLimits
from service.storage import bulk
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.organizations import Organizations
from service.storage.postgresql import administration
from service.storage.sqlite import backend as sqlite
from tests import postgres
from tests.databases import KINDS, OLDEST
from tests.postgres import Postgres

if folder := postgres.memory():
    # Where pytest makes `tmp_path`, and so the tests' SQLite files.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)

HEADER = "customer_email,device_identifier,device_type"

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("any speed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
# For `make test-fast`. Tests that name a number of examples keep to it.
settings.register_profile("fast", settings.get_profile("any speed"), max_examples=25)
settings.load_profile("any speed")


# Fixtures that start a process. A test that starts one without them needs the mark `process` itself.
_PROCESS_FIXTURES = {"command", "gateway", "grounds", "launch", "new", "own", "plain", "script", "sqlite", "supervise"}
_STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"}
# The name of the running test if it must not start a process.
_processless: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what `make test-fast` leaves out, by what a test needs."""
    for item in items:
        if {"postgresql", OLDEST}.intersection(
            map(str, getattr(getattr(item, "callspec", None), "params", {}).values())
        ):
            item.add_marker(pytest.mark.postgresql)
        if not _PROCESS_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.process)


def pytest_collection_finish() -> None:
    """Spares the garbage collector what has been loaded: the tests themselves, hundreds of thousands of objects."""
    gc.collect()
    gc.freeze()


def _watched(item: pytest.Item) -> Generator[None, object, object]:
    """Makes a test fail that starts a process without the mark. Teardown is exempt: shared fixtures may end there."""
    if item.get_closest_marker("process") is None:
        _processless.append(item.name)
    try:
        return (yield)
    finally:
        _processless.clear()


pytest_runtest_setup = pytest.hookimpl(wrapper=True)(_watched)
pytest_runtest_call = pytest.hookimpl(wrapper=True)(_watched)


def _refuse_processes(event: str, _arguments: object) -> None:
    if event in _STARTS and _processless:
        raise AssertionError(f"{_processless[0]} starts a process, so it has to be marked: @pytest.mark.process")


sys.addaudithook(_refuse_processes)


@pytest.fixture(autouse=True)
def unlimited_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has each test begin with no line of the log left out: the limit is one for the whole process."""
    monkeypatch.setattr(call, "_without_key", LogLimits(10))


@pytest.fixture(autouse=True)
def patient_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a write wait for another connection's as long as PostgreSQL does: until the test has ended that one."""
    monkeypatch.setattr(sqlite, "MAX_WAIT_SECONDS", 600.0)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The PostgreSQL that the tests use."""
    # The first test that needs it may have no mark: all tests share these processes.
    test, _processless[:] = list(_processless), []
    with postgres.running(postgres.memory()) as server:
        _processless[:] = test
        yield server


@pytest.fixture(scope="session")
def oldest_postgres() -> Iterator[Postgres]:
    """The oldest PostgreSQL that is installed here, beside the newest one, which the tests use."""
    if (binaries := postgres.oldest_installed()) is None:
        pytest.skip(
            f"needs a PostgreSQL of Debian's packages, version {administration.OLDEST} or newer; none is installed"
        )
    test, _processless[:] = list(_processless), []
    with postgres.installed(binaries) as server:
        _processless[:] = test
        yield server


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database with today's tables, of each kind."""
    with KINDS[request.param].fresh(request, tmp_path) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The database, opened beside the server as an operator's command would."""
    opened = Database(database_url, 20)
    yield opened
    opened.close()


@dataclass(frozen=True)
class Tenant:
    """An organisation, and what a test does on its behalf."""

    database: Database
    id: str
    key_id: str
    api_key: str

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call of this organisation carries."""
        return (("x-api-key", self.api_key),)

    def assign(self, email: str, identifiers: Iterable[str]) -> str:
        """Returns devices to a customer, both made if they are new. Returns the operation's id."""
        text = [HEADER, *(f'"{email}","{i.replace(chr(34), chr(34) * 2)}",thermostat' for i in identifiers)]
        lines = [line for line in read_lines(f"{row}\n" for row in text) if isinstance(line, Line)]
        assert len(lines) == len(text) - 1
        return bulk.import_lines(self.database, self.id, lines, skip_bad_lines=False)[0].operation_id

    def key(self, *scopes: str) -> tuple[tuple[str, str], ...]:
        """Makes another key and gives the metadata for it."""
        return (("x-api-key", Keys(self.database).create(self.id, scopes, None)[1]),)


def new_tenant(database: Database, name: str = "acme") -> Tenant:
    """Makes an organisation with a key of all scopes."""
    made = Organizations(database).create(name)
    key, secret = Keys(database).create(made.id, SCOPES, None)
    return Tenant(database, made.id, key.id, secret)


@pytest.fixture
def tenant(database: Database) -> Tenant:
    """An organisation with a key of all scopes."""
    return new_tenant(database)


class Client:
    """A client of a running server."""

    def __init__(self, port: int) -> None:
        # As any client's: an answer over 4 MiB would be refused here.
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.assignments = DeviceAssignmentServiceStub(self.channel)
        self.customers = CustomerServiceStub(self.channel)

    def unassign(
        self, tenant: Tenant, email: str, identifiers: Iterable[str], **options: Any
    ) -> pb.UnassignDevicesResponse:
        """Calls UnassignDevices."""
        request = pb.UnassignDevicesRequest(customer_email=email, device_identifiers=identifiers, **options)
        return self.assignments.UnassignDevices(request, metadata=tenant.metadata)

    def page(self, tenant: Tenant, email: str = "", **options: Any) -> pb.ListAssignedDevicesResponse:
        """Calls ListAssignedDevices."""
        request = pb.ListAssignedDevicesRequest(customer_email=email, **options)
        return self.assignments.ListAssignedDevices(request, metadata=tenant.metadata)

    def devices(self, tenant: Tenant, email: str = "", **options: Any) -> list[str]:
        """Lists the identifiers on all pages."""
        found: list[str] = []
        while True:
            page = self.page(tenant, email, **options)
            found += [device.device_identifier for device in page.devices]
            if not page.next_page_token:
                return found
            options["page_token"] = page.next_page_token


def stop(service: Service) -> None:
    """Stops a server whose callers have gone, so that it need not hold calls that might still come."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_module, "_HOLD_SECONDS", 0.0)
        service.stop()


Serve = Callable[..., Client]


@pytest.fixture
def serve(database_url: str) -> Iterator[Serve]:
    """Starts servers with settings of the test's choice: `serve(max_answer_bytes=65536)`."""
    started: list[tuple[Service, Client]] = []

    def start(**settings: Any) -> Client:
        service = Service(Settings(**{"database_url": database_url, "drain_seconds": 5, **settings}))
        client = Client(service.start("127.0.0.1:0"))
        started.append((service, client))
        return client

    yield start
    for service, client in started:
        client.channel.close()
        stop(service)


@pytest.fixture
def client(serve: Serve) -> Client:
    """A client of a server with the usual settings."""
    return serve()


@dataclass(frozen=True)
class Failure:
    """A status that a call ended with, taken apart."""

    code: grpc.StatusCode
    text: str
    reason: str
    metadata: dict[str, str]
    violations: list[tuple[str, str]]
    preconditions: list[tuple[str, str]]
    retry_seconds: float | None
    trailer_bytes: int
    pushback_ms: str | None


def failure(call: Callable[[], object]) -> Failure:
    """Makes a call that must fail and gives its status, which must have our details."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error}"
    found = {any_detail.type_url.rpartition("/")[2]: any_detail for any_detail in status.details}

    def unpack(kind: type[Message]) -> Any:
        detail = kind()
        if (packed := found.get(detail.DESCRIPTOR.full_name)) is not None:
            packed.Unpack(detail)
        return detail

    trailers = {datum.key: datum.value for datum in error.trailing_metadata()}
    info, bad, precondition = unpack(ErrorInfo), unpack(BadRequest), unpack(PreconditionFailure)
    assert info.domain == "deviceassignment"
    assert info.metadata["call_id"]
    return Failure(
        code=error.code(),
        text=error.details() or "",
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=[(v.field, v.description) for v in bad.field_violations],
        preconditions=[(v.subject, v.type) for v in precondition.violations],
        retry_seconds=unpack(RetryInfo).retry_delay.ToNanoseconds() / 1e9 if "google.rpc.RetryInfo" in found else None,
        trailer_bytes=sum(len(datum.key) + len(datum.value) for datum in error.trailing_metadata()),
        pushback_ms=trailers.get("grpc-retry-pushback-ms"),
    )
