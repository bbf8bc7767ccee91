"""Fixtures: one database of each kind and one server for all these tests, a fresh organisation for each of them."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from service.app import Service
from service.config import Settings
from service.storage.database import Database
from tests import sqlite_files
from tests.conftest import Tenant, new_tenant, stop
from tests.grpc_server.api.client import Api

Running = tuple[Service, Api]
Start = Callable[..., Running]


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of each kind. Organisations do not see each other, so the tests can share it."""
    if request.param == "sqlite":
        yield sqlite_files.fresh(tmp_path_factory.mktemp("api") / "test.db")
        return
    server: Any = request.getfixturevalue("postgres_server")
    url = server.fresh()
    yield url
    server.drop(url)


@pytest.fixture(scope="session")
def database(database_url: str) -> Iterator[Database]:
    """The database, opened beside the server as an operator's command would."""
    opened = Database(database_url, 20)
    yield opened
    opened.close()


@contextmanager
def running(database_url: str, **settings: Any) -> Iterator[Running]:
    """Runs a server and gives the service too, for those who want to stop it."""
    service = Service(Settings(database_url=database_url, **{"drain_seconds": 5, **settings}))
    api = Api(service.start("127.0.0.1:0"))
    yield service, api
    api.channel.close()
    if not service._stopping.is_set():
        stop(service)


@pytest.fixture(scope="session")
def api(database_url: str) -> Iterator[Api]:
    """A client of a server with the usual settings."""
    with running(database_url) as (_, client):
        yield client


@pytest.fixture
def start(database_url: str) -> Iterator[Start]:
    """Starts servers with settings of the test's choice: `start(streams=2)`."""
    started = []

    def begin(**settings: Any) -> Running:
        started.append(running(database_url, **settings))
        return started[-1].__enter__()

    yield begin
    for each in started:
        each.__exit__(None, None, None)


@pytest.fixture
def tenant(database: Database) -> Tenant:
    """An organisation with a key of all scopes."""
    return new_tenant(database, f"acme {uuid.uuid4()}")


@pytest.fixture
def other(database: Database) -> Tenant:
    """A second organisation."""
    return new_tenant(database, f"other {uuid.uuid4()}")
