"""Databases with customers and devices, made by the commands and calls of the version that is measured.

Each measurement gets a copy of its own, so that what one does changes nothing for the others.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from deviceassignment.v1 import customer_pb2
from deviceassignment.v1 import device_assignment_pb2 as pb
from sqlalchemy import create_engine, make_url, text

from benchmarks import servers
from benchmarks.load import Load
from benchmarks.works import OWNED, SERVICE, email, identifiers, target_email
from tests.postgres import Postgres

_AT_ONCE = 20_000
_COUNTS = "SELECT count(*), coalesce(sum(assigned_count + unassigned_count), 0) FROM operation"


class Customers(NamedTuple):
    """Customers of numbers that follow each other, each with so many devices of its own.

    Attributes:
        first: the first number.
        number: how many.
        owned: how many devices each has.
        free: devices of the first customers' numbers that are there, ten for each, and have no owner.
        targets: customers without devices, one for each of the first numbers.
    """

    first: int
    number: int
    owned: int = OWNED
    free: int = 0
    targets: int = 0


class Fleet(NamedTuple):
    """A database.

    Attributes:
        url: where it is.
        keys: a key of each organisation.
        counts: how many operations it has, and how many assignments these began or ended.
        code: the folder of the version that made it; None is this one.
    """

    url: str
    keys: tuple[str, ...]
    counts: tuple[int, int] = (0, 0)
    code: Path | None = None

    @property
    def key(self) -> str:
        """Returns the key of the first organisation."""
        return self.keys[0]

    @property
    def postgresql(self) -> bool:
        """Distinguishes the two kinds of database."""
        return self.url.startswith("postgresql")

    def one(self, statement: str) -> tuple[Any, ...]:
        """Reads one row."""
        engine = create_engine(self.url)
        with engine.connect() as connection:
            row = tuple(connection.execute(text(statement)).one())
        engine.dispose()
        return row

    def check(self, calls: int, changes: int) -> None:
        """Counts what calls left.

        Raises:
            AssertionError: not an operation of each, and all their changes.
        """
        found = tuple(now - before for now, before in zip(self.one(_COUNTS), self.counts, strict=True))
        if found != (calls, changes):
            raise AssertionError(f"{calls} calls left {found} operations and changes, not {(calls, changes)}")


def fill(load: Load, url: str, *organizations: list[Customers], code: Path | None = None) -> Fleet:
    """Fills an empty database with organisations.

    Customers are made one after the other, so that their numbers in the database follow each other, too.
    """
    _run(url, code, "db", "upgrade")
    keys = []
    for number, added in enumerate(organizations):
        _run(url, code, "org", "create", f"bench {number}")
        keys.append(json.loads(_run(url, code, "key", "create", "--org", f"bench {number}", "--json"))["api_key"])
        add(load, Fleet(url, (keys[-1],), code=code), added)
    fleet = Fleet(url, tuple(keys), code=code)
    operations, changes = fleet.one(_COUNTS)
    return fleet._replace(counts=(operations, changes))


def add(load: Load, fleet: Fleet, added: list[Customers]) -> None:
    """Adds customers to the first organisation, and has the database settle."""
    with servers.service(fleet.url, code=fleet.code) as running:
        for customers in added:
            for path, requests in _requests(customers):
                if requests:
                    load.calls(running.port, path, fleet.key, requests)
    settle(fleet.url)


def _requests(customers: Customers) -> Iterator[tuple[str, list[Any]]]:
    first, last = customers.first, customers.first + customers.number
    owned = [(email(number), identifiers(number, customers.owned)) for number in range(first, last)]
    yield SERVICE + "AssignDevices", _assigning(owned)
    targets = range(first, first + customers.targets)
    path = "/deviceassignment.v1.CustomerService/CreateOrUpdateCustomer"
    yield path, [customer_pb2.CreateOrUpdateCustomerRequest(email=target_email(number)) for number in targets]
    numbers = range(first, first + customers.free)
    free = [identifier for number in numbers for identifier in identifiers(number, 10, OWNED)]
    stock = "stock@example.com"
    yield SERVICE + "AssignDevices", _assigning([(stock, free)])
    ended = [pb.UnassignAllDevicesRequest(customer_email=stock, expected_count=len(free))] if free else []
    yield SERVICE + "UnassignAllDevices", ended


def _assigning(owned: list[tuple[str, list[str]]]) -> list[Any]:
    return [
        pb.AssignDevicesRequest(
            customer_email=owner,
            device_identifiers=devices[start : start + _AT_ONCE],
            auto_create_devices=True,
            device_type="thermostat",
        )
        for owner, devices in owned
        for start in range(0, len(devices), _AT_ONCE)
    ]


def _run(url: str, code: Path | None, *arguments: str) -> str:
    command = [sys.executable, "-m", "service", *arguments]
    variables = servers.environment(url, code)
    return subprocess.run(command, env=variables, cwd=code, check=True, stdout=subprocess.PIPE, text=True).stdout


def plain(url: str) -> str:
    """Returns the URL of a PostgreSQL as libpq reads it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def settle(url: str) -> None:
    """Does what the database does by itself some time after large changes, so that it does not do it meanwhile."""
    if url.startswith("postgresql"):
        with psycopg.connect(plain(url), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
    else:
        with closing(sqlite3.connect(make_url(url).database or "")) as file:
            file.execute("ANALYZE")
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def copied(server: Postgres, fleet: Fleet) -> Iterator[Fleet]:
    """Copies a database for the time of the block."""
    name = make_url(fleet.url).database or ""
    if fleet.postgresql:
        copy = fleet._replace(url=server.create(name))
        with psycopg.connect(plain(copy.url), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        yield copy
        server.drop(copy.url)
    else:
        shutil.copy(name, f"{name}.copy")
        yield fleet._replace(url=f"sqlite:///{name}.copy")
        for suffix in ("", "-wal", "-shm"):
            Path(f"{name}.copy{suffix}").unlink(missing_ok=True)
