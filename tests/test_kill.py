"""The end of the process in the middle of writes: what was acknowledged holds, and nothing is half there."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from tests.conftest import Client, Tenant
from tests.storage.history import History, replayed

pytestmark = pytest.mark.process

CALLERS = 6
CUSTOMERS = [f"{number}@example.com" for number in range(3)]
DEVICES = [f"device-{number:05}" for number in range(3_000)]
ROOT = Path(__file__).parent.parent


class Process:
    """The server as an operator runs it."""

    def __init__(self, database_url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--grpc-address", "127.0.0.1:0"],
            cwd=ROOT,
            env={**os.environ, "DEVICE_ASSIGNMENT_DATABASE_URL": database_url, "PYTHONPATH": "generated"},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self._log = self._process.stderr
        lines = (json.loads(line) for line in self._log)
        serving = next(line for line in lines if line["event"] == "serving")
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.client = Client(serving["port"])

    def _read(self) -> None:
        for _ in self._log:
            """Nothing but room for more: a full pipe would hold the server up."""

    def end(self, number: signal.Signals) -> int:
        """Sends a signal and gives the exit code."""
        self._process.send_signal(number)
        try:
            return self._process.wait(120)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            self._log.close()
            self.client.channel.close()


@contextmanager
def serving(database_url: str) -> Iterator[Process]:
    """Serves for as long as the block runs, if that is not ended earlier."""
    process = Process(database_url)
    try:
        yield process
    finally:
        process.end(signal.SIGKILL)


@dataclass
class Writes:
    """Wishes by their request id, and the answers that came."""

    requests: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    answers: dict[str, pb.UnassignDevicesResponse] = field(default_factory=dict)
    acknowledged: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def go_on(self, client: Client, tenant: Tenant, devices: list[str]) -> None:
        """Unassigns random devices, with others at the same ones, until the server is gone."""
        while True:
            request_id, customer = str(uuid.uuid4()), random.choice(CUSTOMERS)  # noqa: S311  # no secret
            self.requests[request_id] = (customer, random.sample(devices, 4))
            try:
                self.answers[request_id] = self.ask(client, tenant, request_id)
            except grpc.RpcError:
                return
            self.acknowledged.release()

    def ask(self, client: Client, tenant: Tenant, request_id: str) -> pb.UnassignDevicesResponse:
        """Makes the call of a request id."""
        customer, devices = self.requests[request_id]
        return client.unassign(tenant, customer, devices, request_id=request_id, remaining_view=pb.REMAINING_VIEW_COUNT)

    def until(self, end: signal.Signals, process: Process, tenant: Tenant, devices: list[str]) -> int:
        """Writes with several callers until a signal at a random moment ends the server. Gives its exit code."""
        with ThreadPoolExecutor(CALLERS) as pool:
            callers = [pool.submit(self.go_on, process.client, tenant, devices) for _ in range(CALLERS)]
            try:
                for _ in range(random.randrange(5, 60)):  # noqa: S311  # no secret
                    assert self.acknowledged.acquire(timeout=120)
                time.sleep(random.random() / 50)  # noqa: S311  # no secret
            finally:
                code = process.end(end)
            for caller in callers:
                caller.result()
        return code


def assert_kept(history: History, answers: dict[str, pb.UnassignDevicesResponse]) -> None:
    """Checks that every answer is in the history, as it was given."""
    for answer in answers.values():
        assert len(history.revisions[answer.revision]) == answer.remaining_count
        assert (
            history.revisions[answer.revision]
            .keys()
            .isdisjoint(
                [*answer.unassigned_devices, *answer.skipped],
            )
        )
        if answer.operation_id:
            assert history.made[answer.operation_id, answer.customer_id] == answer.revision
            assert history.operations[answer.operation_id].unassigned_count == len(answer.unassigned_devices)


def test_after_kill_9_every_answer_holds_and_repeats_tell_what_became_of_the_rest(
    database_url: str, database: Database, tenant: Tenant
) -> None:
    for customer in CUSTOMERS:
        tenant.assign(customer, DEVICES)
    writes = Writes()
    server = Process(database_url)
    try:
        for _ in range(3):
            assert writes.until(signal.SIGKILL, server, tenant, DEVICES) == -signal.SIGKILL
            server = Process(database_url)
            assert_kept(replayed(database, tenant.id), writes.answers)
            unknown = [request_id for request_id in writes.requests if request_id not in writes.answers]
            assert unknown, "the server was not killed in the middle of writes"
            for request_id in unknown:
                writes.answers[request_id] = writes.ask(server.client, tenant, request_id)
            for request_id, answer in random.sample(sorted(writes.answers.items(), key=lambda item: item[0]), 5):
                assert writes.ask(server.client, tenant, request_id) == answer
    finally:
        server.end(signal.SIGKILL)
    history = replayed(database, tenant.id)
    assert_kept(history, writes.answers)
    told = Counter((a.customer_id, i) for a in writes.answers.values() for i in a.unassigned_devices)
    assert set(told.values()) == {1}
    assert told == history.ends
    assert history.replies == len(writes.requests)
    assert len(history.operations) == len(CUSTOMERS) + sum(bool(a.operation_id) for a in writes.answers.values())


def test_sigterm_in_the_middle_of_writes_exits_with_0_and_every_answer_holds(
    database_url: str, database: Database, tenant: Tenant
) -> None:
    for customer in CUSTOMERS:
        tenant.assign(customer, DEVICES)
    writes = Writes()
    with serving(database_url) as server:
        assert writes.until(signal.SIGTERM, server, tenant, DEVICES) == 0
    history = replayed(database, tenant.id)
    assert_kept(history, writes.answers)
    told = Counter((a.customer_id, i) for a in writes.answers.values() for i in a.unassigned_devices)
    # Whatever was begun was finished and answered: nothing was ended behind the callers' backs.
    assert told == history.ends
