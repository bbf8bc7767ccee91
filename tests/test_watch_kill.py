"""A stream of operations across kills: 8 writers, a reader that is cut off and resumes, and in the end no gap."""

import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from sqlalchemy import select

from service.storage.database import Database
from service.storage.tables import customer_revision, operation
from tests.conftest import Tenant
from tests.test_kill import Process, serving

pytestmark = pytest.mark.process

WRITERS = 8
ROUNDS = 3
CUSTOMERS = [f"{number}@example.com" for number in range(5)]


class Reader:
    """Watches, one connection after the other, and keeps what it was told and where it was."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.token = ""
        self.told: list[pb.Operation] = []

    def watch(self, process: Process, until: int | None = None) -> None:
        """Reads on until the server is gone, or it has been told of so many operations."""
        stream = process.client.assignments.WatchOperations(
            pb.WatchOperationsRequest(after=self.token), metadata=self._tenant.metadata
        )
        cut = random.randrange(1, 40)  # noqa: S311  # no secret
        try:
            for count, message in enumerate(stream, 1):
                self.told.append(message.operation)
                self.token = message.resume_token
                if until is not None and len(self.told) >= until:
                    break
                if count == cut:
                    break
        except grpc.RpcError:
            return
        stream.cancel()


def _write(process: Process, tenant: Tenant, number: int) -> None:
    """Assigns and takes back, until the server is gone."""
    while True:
        email = random.choice(CUSTOMERS)  # noqa: S311  # no secret
        devices = [f"{number}-{random.randrange(50)}" for _ in range(3)]  # noqa: S311  # no secret
        try:
            process.client.assignments.AssignDevices(
                pb.AssignDevicesRequest(
                    customer_email=email, device_identifiers=devices, auto_create_devices=True, device_type="t"
                ),
                metadata=tenant.metadata,
            )
            process.client.unassign(tenant, email, devices[:2])
        except grpc.RpcError:
            return


def test_a_watch_across_kills_and_cuts_is_the_operation_table(
    database_url: str, database: Database, tenant: Tenant
) -> None:
    reader = Reader(tenant)
    for _ in range(ROUNDS):
        with serving(database_url) as process, ThreadPoolExecutor(WRITERS + 1) as pool:
            over = threading.Event()

            def read(process: Process = process, over: threading.Event = over) -> None:
                while not over.is_set():
                    reader.watch(process)

            writers = [pool.submit(_write, process, tenant, number) for number in range(WRITERS)]
            reading = pool.submit(read)
            over.wait(1 + random.random())  # noqa: S311  # no secret
            over.set()
            process.end(signal.SIGKILL)
            for each in (*writers, reading):
                each.result(120)
    with database.session(write=False) as connection:
        recorded = set(connection.execute(select(operation.c.id)).scalars())
        order = connection.execute(
            select(customer_revision.c.customer_number, customer_revision.c.operation_id).order_by(
                customer_revision.c.customer_number, customer_revision.c.revision
            )
        ).all()
    assert len(recorded) > 2 * WRITERS
    with serving(database_url) as process:
        while len(reader.told) < len(recorded):
            reader.watch(process, until=len(recorded))
    told = [each.operation_id for each in reader.told]
    assert len(told) == len(set(told))
    assert set(told) == recorded
    place = {operation_id: number for number, operation_id in enumerate(told)}
    for customer_id in {row[0] for row in order}:
        places = [place[row[1]] for row in order if row[0] == customer_id]
        assert places == sorted(places)
