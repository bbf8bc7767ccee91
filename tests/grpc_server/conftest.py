"""Fixtures for tests that stop a server themselves, hold locks, or read the log."""

import io
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from sqlalchemy import Select, text

from service.app import Service
from service.config import Settings
from service.grpc_client.certificate import Tls
from service.runtime import log
from service.storage.database import Database
from tests.conftest import Client, Tenant, new_tenant, stop

UNASSIGN = "/deviceassignment.v1.DeviceAssignmentService/UnassignDevices"
LIST = "/deviceassignment.v1.DeviceAssignmentService/ListAssignedDevices"


@dataclass
class Running:
    """A server that the test looks into and stops."""

    service: Service
    client: Client
    port: int

    @property
    def calls(self) -> int:
        """How many calls are served or wait."""
        return self.service._server.reception.calls.pending

    def unassigning(self, tenant: Tenant, email: str, identifiers: Iterable[str], **options: Any) -> Any:
        """Begins an UnassignDevices and does not wait for its end."""
        timeout = options.pop("timeout", None)
        request = pb.UnassignDevicesRequest(customer_email=email, device_identifiers=identifiers, **options)
        return self.client.assignments.UnassignDevices.future(request, metadata=tenant.metadata, timeout=timeout)

    def stop(self) -> bool:
        """Stops the server. Tells whether all calls finished."""
        return self.service.stop()


Run = Callable[..., Running]


@pytest.fixture
def run(database_url: str) -> Iterator[Run]:
    """Starts servers as `serve` does, and gives the whole of them."""
    started: list[Running] = []

    def start(tls: Tls | None = None, **settings: Any) -> Running:
        service = Service(Settings(database_url=database_url, **{"drain_seconds": 5, **settings}))
        port = service.start("127.0.0.1:0", tls=tls)
        running = Running(service, Client(port), port)
        started.append(running)
        return running

    yield start
    for running in started:
        running.client.channel.close()
        if not running.service._stopping.is_set():
            stop(running.service)


@pytest.fixture
def other(database: Database) -> Tenant:
    """Another organisation, with a key of all scopes."""
    return new_tenant(database, "globex")


@contextmanager
def held(database: Database, email: str) -> Iterator[None]:
    """Holds a customer's row from another connection: on PostgreSQL that row alone, on SQLite the whole database."""
    lock = " FOR UPDATE" if database.engine.dialect.name == "postgresql" else ""
    with database.session() as connection:
        found = connection.execute(text(f"SELECT id FROM customer WHERE email_key = :email{lock}"), {"email": email})
        assert found.scalars().all()
        yield


def eventually(condition: Callable[[], object]) -> None:
    """Waits until a condition holds; the limit is far above what the busiest machine needs."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    """Makes a call that must fail, with or without our details, and gives its status."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    code: grpc.StatusCode = error.code()
    return code


def raw(client: Client) -> Any:
    """Gives a client's channel for calls with bytes of the test's choice, which its types do not foresee."""
    return client.channel


def health_of(client: Client) -> Any:
    """Gives a stub of the health service; its published types know no methods."""
    return health_pb2_grpc.HealthStub(client.channel)


def reflection_of(client: Client) -> Any:
    """Gives a stub of the reflection service; its published types know no methods."""
    return reflection_pb2_grpc.ServerReflectionStub(client.channel)


def rows(database: Database, query: Select[Any]) -> list[tuple[Any, ...]]:
    """Reads rows beside the server."""
    with database.session(write=False) as connection:
        return [tuple(row) for row in connection.execute(query)]


class Log:
    """What the service has logged."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream
        log.configure(stream, json=True)

    @property
    def text(self) -> str:
        """All of it."""
        log.flush()
        return self._stream.getvalue()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of one event."""
        return [line for line in self.lines if line["event"] == name]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """All lines."""
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def logged() -> Iterator[Log]:
    """Sets the log up as `serve` does, into memory, and undoes it afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield Log(io.StringIO())
    root.handlers[:] = handlers
    root.setLevel(level)
    log.disable()
