"""`python -m benchmarks.million`: a customer of a million devices departs, and it is undone; time and peak memory."""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks import servers, signals
from benchmarks.servers import Running
from service.domain.keys import SCOPES
from service.storage import schema
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.organizations import Organizations
from tests import postgres

EMAIL = "million@example.com"

A = TypeVar("A")

# What an import of so many lines would leave, made inside the database, because that is quicker.
_FLEET = """
INSERT INTO device (organization_id, identifier, id, type, created_at)
  SELECT :org, {identifier}, 'dev_' || i, 'thermostat', clock_timestamp() FROM {numbers};
INSERT INTO customer
  (organization_id, id, email, email_key, name, created_at, revision, changed_at, device_count)
  VALUES (:org, 'cust_1', :email, :email, 'million', clock_timestamp(), 1, clock_timestamp(), :n);
INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
  SELECT :org, 'cust_1', {identifier}, 1 FROM {numbers};
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
  SELECT :org, 'cust_1', 1, {identifier}, 1, 1 FROM {numbers};
INSERT INTO operation
  (organization_id, id, kind, occurred_at, note, assigned_count, unassigned_count)
  VALUES (:org, 'op_1', 'import', clock_timestamp(), '', :n, 0);
INSERT INTO customer_revision
  (organization_id, customer_id, revision, operation_id, occurred_at, device_count)
  VALUES (:org, 'cust_1', 1, 'op_1', clock_timestamp(), :n)
"""


def _prepare(url: str, devices: int) -> str:
    """Makes the customer. Gives an API key."""
    database = Database(url)
    schema.upgrade(database)
    organization = Organizations(database).create("bench")
    sqlite = url.startswith("sqlite")
    numbers = (
        "(WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < :n) SELECT i FROM s) AS numbers"
        if sqlite
        else "generate_series(1, CAST(:n AS integer)) AS numbers (i)"
    )
    identifier = "printf('SN-%08d', i)" if sqlite else "'SN-' || lpad(CAST(i AS text), 8, '0')"
    values = {"org": organization.id, "email": EMAIL, "n": devices}
    with database.session() as connection:
        for statement in _FLEET.format(identifier=identifier, numbers=numbers).split(";"):
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), used)
        connection.execute(text("ANALYZE"))
    secret = Keys(database).create(organization.id, SCOPES, None)[1]
    database.close()
    return secret


@contextmanager
def _databases() -> Iterator[list[tuple[str, str]]]:
    with tempfile.TemporaryDirectory() as folder, postgres.running() as server:
        yield [("SQLite", f"sqlite:///{Path(folder, 'million.db')}"), ("PostgreSQL", server.create())]


def _expect(count: int, devices: int) -> None:
    if count != devices:
        raise RuntimeError(f"{count} devices instead of {devices}: what was measured was not the work")


def _measure(name: str, running: Running, secret: str, devices: int, table: Table) -> None:
    stub = DeviceAssignmentServiceStub(grpc.insecure_channel(f"127.0.0.1:{running.port}"))
    metadata = (("x-api-key", secret),)

    def timed(work: str, call: Callable[[], A]) -> A:
        started = time.monotonic()
        answer = call()
        seconds = time.monotonic() - started
        table.add_row(name, work, f"{devices:,}", f"{seconds:.1f}", f"{running.megabytes('VmHWM'):.0f}")
        return answer

    rest = pb.ListAssignedDevicesRequest(customer_email=EMAIL, page_size=1)
    page = timed("(a page of one)", lambda: stub.ListAssignedDevices(rest, metadata=metadata))
    _expect(page.total_count, devices)
    leave = pb.UnassignAllDevicesRequest(customer_email=EMAIL, expected_count=devices)
    left = timed("UnassignAllDevices", lambda: stub.UnassignAllDevices(leave, metadata=metadata))
    _expect(left.unassigned_count, devices)
    undo = pb.RevertOperationRequest(operation_id=left.operation_id)
    undone = timed("RevertOperation", lambda: stub.RevertOperation(undo, metadata=metadata))
    _expect(undone.reverted_count, devices)


def main(devices: int) -> None:
    """Measures on both databases and prints a table."""
    table = Table("database", "work", "devices", "seconds", "server's peak memory, MB")
    with _databases() as databases:
        for name, url in databases:
            secret = _prepare(url, devices)
            with servers.service(url) as running:
                _measure(name, running, secret, devices, table)
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000_000)
    signals.interrupt_on_sigterm()
    main(parser.parse_args().devices)
