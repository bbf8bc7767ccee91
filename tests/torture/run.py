"""A run: the service on a database of its own, the clients, the faults one after the other, and the records."""

import random
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from service.domain.keys import SCOPES
from service.storage import schema
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.numbers import number_in_session
from service.storage.organizations import Organizations
from service.storage.tables import operation
from tests.torture import clock
from tests.torture.clients import Client, Progress, Watcher
from tests.torture.clock import Clock
from tests.torture.dump import dump
from tests.torture.faults import Fault, KillServer, KillWorker, RestartServer, SetClockBack, connection_faults
from tests.torture.launcher import VARIABLE
from tests.torture.nemesis import Nemesis
from tests.torture.proxy import Proxy
from tests.torture.recorder import Recorder
from tests.torture.rpcs import Command, request
from tests.torture.service_process import ServiceProcess
from tests.torture.stage import Done, Size, Stage
from tests.torture.workload import PAIRS, STEADY, Organization

_CATCH_UP_SECONDS = 120.0


class Run:
    """Runs the service, the clients and the faults.

    Args:
        stage: makes the database in a folder, for processes with a clock.
        size: how much to do.
        folder: where the records and logs go.
        say: is told of the progress.
    """

    def __init__(
        self,
        stage: Callable[[Path, Clock], Stage],
        size: Size,
        folder: Path,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._size, self._folder, self._say = size, folder, say
        self._chance = random.Random(size.seed)  # noqa: S311  # no secret
        self._progress = Progress()
        self._clock = Clock()
        self._stage = stage(folder, self._clock)
        self._proxy = Proxy()
        self._recorders: list[Recorder] = []
        self._faults = Recorder(folder / "faults.jsonl")
        self._done = Done()
        database = Database(self._stage.direct_url)
        schema.upgrade(database)
        self._organizations = [self._organization(database, number) for number in range(size.organizations)]
        database.close()
        environment = {
            "DEVICE_ASSIGNMENT_DATABASE_URL": self._stage.service_url,
            "DEVICE_ASSIGNMENT_DRAIN_SECONDS": "5",
            VARIABLE: size.plant,
            clock.VARIABLE: str(self._clock.file),
        }
        self._service = ServiceProcess(environment, self._stage.workers, self._proxy, folder / "service.runtime.log")

    def __call__(self) -> Done:
        """Does it all. Raises `NotRecovered` if the service does not come back after a fault."""
        address = f"127.0.0.1:{self._proxy.port}"
        watchers = [
            Watcher(organization, address, recorder)
            for organization, recorder in zip(self._organizations, self._recorders, strict=True)
        ]
        try:
            self._service.start()
            clients = self._clients(address)
            for thread in (*clients, *watchers):
                thread.start()
            begun = time.monotonic()
            try:
                nemesis = Nemesis(
                    self._possible(),
                    self._size,
                    self._progress,
                    [organization.name for organization in self._organizations],
                    recorder=self._faults,
                    chance=self._chance,
                    say=self._say,
                )
                nemesis.torture()
            finally:
                self._progress.end()
                for client in clients:
                    client.join()
            self._done.seconds = time.monotonic() - begun
            if self._progress.broken:
                raise self._progress.broken[0]
            self._finish(watchers)
        finally:
            for watcher in watchers:
                if watcher.is_alive():
                    watcher.end()
            self._service.close()
            self._proxy.close()
            self._stage.close()
            self._clock.close()
            for recorder in (*self._recorders, self._faults):
                recorder.close()
        return self._done

    def _organization(self, database: Database, number: int) -> Organization:
        made = Organizations(database).create(f"org{number}")
        key, secret = Keys(database).create(made.id, SCOPES, None)
        path = self._folder / f"{made.name}.jsonl"
        self._recorders.append(Recorder(path))
        self._recorders[-1].write("organization", id=made.id, name=made.name, key_id=key.id)
        return Organization(made.name, made.id, key.id, secret, mix=self._size.mix)

    def _clients(self, address: str) -> list[Client]:
        """Makes the clients; the first of each organisation adds its customers."""
        clients = []
        for place, organization in enumerate(self._organizations):
            recorder = self._recorders[place]
            for number in range(self._size.clients):
                seed = (self._size.seed * 1_000 + place) * 1_000 + number
                clients.append(Client(organization, address, recorder, self._progress, seed))
            for email in (*STEADY, *(pair[0] for pair in PAIRS)):
                message: Any = request("CreateOrUpdateCustomer", email=email, request_id=_uuid(self._chance))
                command = Command(next(self._progress.numbers), "CreateOrUpdateCustomer", message, 5.0)
                while "OK" not in clients[-1].carry_out(command):
                    time.sleep(0.1)
        return clients

    def _possible(self) -> list[Fault]:
        service, chance = self._service, random.Random(self._chance.random())  # noqa: S311  # no secret
        faults: list[Fault] = [
            KillServer(service, chance),
            RestartServer(service),
            SetClockBack(self._clock, chance, needs_library=self._stage.proxy is not None),
            *connection_faults(self._proxy, "between clients and server"),
            *self._stage.faults(),
        ]
        if self._stage.workers > 1:
            faults.append(KillWorker(service, chance))
        if self._stage.proxy is not None:
            faults += connection_faults(self._stage.proxy, "between server and database")
        faults = [fault for fault in faults if self._size.only in fault.name]
        self._done.skipped = {fault.name: why for fault in faults if (why := fault.missing())}
        return [fault for fault in faults if not fault.missing()]

    def _finish(self, watchers: list[Watcher]) -> None:
        """Ends what is under way, lets the streams catch up, and writes the rows down."""
        self._say("letting the streams catch up")
        self._service.stop()
        self._service.kill_all()
        self._stage.settle()
        self._service.start()
        with closing(Database(self._stage.direct_url)) as database:
            for organization, watcher in zip(self._organizations, watchers, strict=True):
                self._catch_up(database, organization, watcher)
                watcher.end()
        self._say("writing the rows down")
        self._service.stop()
        self._stage.settle()
        with closing(Database(self._stage.direct_url)) as database:
            for organization, recorder in zip(self._organizations, self._recorders, strict=True):
                dump(database, organization.id, recorder)

    def _catch_up(self, database: Database, organization: Organization, watcher: Watcher) -> None:
        with database.session(write=False) as connection:
            number = number_in_session(connection, organization.id)
            counting = select(func.count()).where(operation.c.organization_number == number)
            operations = connection.execute(counting).scalar_one()
        until = time.monotonic() + _CATCH_UP_SECONDS
        # A stream that misses an operation does not get there; the checker names it then.
        while watcher.told < operations and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)  # an operation told twice would come now


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
