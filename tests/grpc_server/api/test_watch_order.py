"""WatchOperations under concurrent commits: none missed, none twice, each customer's in their order."""

import random
import threading
from collections import defaultdict
from typing import Any

import grpc

from service.storage.database import Database
from tests.conftest import Tenant
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import Api, new_uuid
from tests.grpc_server.api.conftest import Start
from tests.grpc_server.api.test_watch import begin_token

PEOPLE = [f"c{number}@example.com" for number in range(6)]
WRITERS, WRITES = 6, 30
FLEETS = ["fleet1@example.com", "fleet2@example.com"]
FLEET = [f"F{number}" for number in range(5_000)]


def write(api: Api, tenant: Tenant, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # no secret
    for number in range(WRITES):
        source, target = chance.sample(PEOPLE, 2)
        device = f"{seed}-{number % 5}"
        if chance.random() < 0.6:
            api.assign(tenant, source, [device])
        else:
            api.transfer(tenant, source, target, [device])


def write_slowly(api: Api, tenant: Tenant, email: str) -> None:
    """Lets others overtake: between the time of these operations and their commit a long answer is written and kept."""
    for number in range(WRITES // 3):
        api.assign(tenant, email, [*FLEET, f"{email} {number}"], request_id=new_uuid())


class Reader:
    """Reads the stream, is cut off at random moments, and goes on with its last token."""

    def __init__(self, apis: list[Api], tenant: Tenant) -> None:
        self._apis, self._tenant = apis, tenant
        self.seen: list[str] = []
        self.cuts = 0
        self.enough = threading.Event()
        self.recorded = 0

    def hurry(self) -> None:
        """Asks again and again for what is next, so that operations get their places while others commit."""
        while not self.enough.is_set():
            stream = self._apis[0](self._tenant, "WatchOperations", from_now=True)
            begin_token(stream)
            stream.cancel()

    def read(self) -> None:
        """Collects what it sees."""
        chance = random.Random(0)  # noqa: S311  # no secret
        token = ""
        while True:
            stream = chance.choice(self._apis)(self._tenant, "WatchOperations", after=token)
            cut = threading.Timer(chance.random() * 0.4, stream.cancel)
            cut.start()
            of_this_stream: list[str] = []
            try:
                for message in stream:
                    of_this_stream.append(message.operation.operation_id)
                    token = message.resume_token
            except grpc.RpcError:
                self.cuts += 1
            cut.cancel()
            assert len(set(of_this_stream)) == len(of_this_stream)
            self.seen += of_this_stream
            if self.enough.is_set() and len(self.seen) >= self.recorded:
                return


def test_what_a_reader_saw_is_the_table_of_operations(
    start: Start, api: Api, tenant: Tenant, database: Database
) -> None:
    # A second server: whoever reads gives operations their places, in whatever process.
    _, second = start()
    for email in PEOPLE:
        api.assign(tenant, email, ["first"])
    for email in FLEETS:
        api.assign(tenant, email, FLEET)
    writers = [threading.Thread(target=write, args=((api, second)[seed % 2], tenant, seed)) for seed in range(WRITERS)]
    writers += [threading.Thread(target=write_slowly, args=(api, tenant, email)) for email in FLEETS]
    reader = Reader([api, second], tenant)
    reading = [threading.Thread(target=act) for act in (reader.read, reader.hurry)]
    for thread in (*writers, *reading):
        thread.start()
    for thread in writers:
        thread.join()
    recorded = {row.id for row in ledger.rows(database, tenant, "operation")}
    reader.recorded = len(recorded)
    reader.enough.set()
    for thread in reading:
        thread.join()

    assert len(recorded) > WRITERS * WRITES / 2
    assert len(reader.seen) == len(set(reader.seen))
    assert set(reader.seen) == recorded
    assert reader.cuts > 3
    of_customer: dict[str, list[Any]] = defaultdict(list)
    for row in ledger.rows(database, tenant, "customer_revision"):
        of_customer[row.customer_id].append(row)
    place = {operation_id: number for number, operation_id in enumerate(reader.seen)}
    for revisions in of_customer.values():
        places = [place[row.operation_id] for row in sorted(revisions, key=lambda row: row.revision)]
        assert places == sorted(places)
    ledger.check(database, tenant)
