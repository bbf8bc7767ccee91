"""Fixtures: one SQLite database, one server and one gateway for all these tests, a fresh organisation for each."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.app import Service
from service.config import Settings
from service.storage import schema
from service.storage.database import Database
from tests.conftest import Tenant, new_tenant
from tests.transport.gateway.rest import Gateway, Rest

Launch = Callable[..., Gateway]
Begin = Callable[..., tuple[Service, int]]


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database. To the gateway one kind is like the other: it does not know that there is any."""
    url = f"sqlite:///{tmp_path_factory.mktemp('gateway') / 'test.db'}"
    made = Database(url)
    schema.upgrade(made)
    made.close()
    return url


@pytest.fixture(scope="session")
def database(database_url: str) -> Iterator[Database]:
    """The database, opened beside the server as an operator's command would."""
    opened = Database(database_url, 20)
    yield opened
    opened.close()


@pytest.fixture
def tenant(database: Database) -> Tenant:
    """An organisation with a key of all scopes."""
    return new_tenant(database, f"acme {uuid.uuid4()}")


@pytest.fixture
def begin(database_url: str) -> Iterator[Begin]:
    """Starts gRPC servers: `begin(rate_limit=1)` gives the service and its port."""
    started: list[Service] = []

    def start(address: str = "127.0.0.1:0", tls: Any = None, **settings: Any) -> tuple[Service, int]:
        service = Service(Settings(database_url=database_url, **{"drain_seconds": 5, **settings}))
        started.append(service)
        return service, service.start(address, tls)

    yield start
    for service in started:
        if not service._stopping.is_set():
            service.stop()


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
def rest(gateway: Gateway, tenant: Tenant) -> Rest:
    """The gateway, called by the organisation."""
    return Rest(gateway, tenant.api_key)
