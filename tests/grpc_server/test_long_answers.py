"""A call with a long answer is a long call, however short its request is."""

import sys
from collections.abc import Callable, Iterator
from contextvars import copy_context
from itertools import islice

import pytest
from deviceassignment.v1 import customer_pb2, device_pb2
from deviceassignment.v1 import device_assignment_pb2 as pb
from google.protobuf.message import Message

from service.domain.import_lines import Line, read_lines
from service.method_table import RPCS
from service.runtime import fairness
from service.runtime.executors import Task
from service.storage import bulk
from tests.conftest import HEADER, Client, Tenant
from tests.grpc_server.conftest import Run, eventually

ADA = "ada@example.com"
SHARED = [f"shared-{number}" for number in range(25)]
OWNERS = [f"owner{number}@example.com" for number in range(100)]
OPERATIONS = 250


def import_pairs(tenant: Tenant, pairs: list[tuple[str, str]]) -> str:
    """Assigns devices to customers in one operation. Returns its id."""
    text = [HEADER, *(f"{email},{identifier},thermostat" for email, identifier in pairs)]
    lines = [line for line in read_lines(f"{row}\n" for row in text) if isinstance(line, Line)]
    return bulk.import_lines(tenant.database, tenant.id, lines, skip_bad_lines=False)[0].operation_id


def lookup(client: Client, tenant: Tenant) -> Callable[[int], int]:
    import_pairs(tenant, [(email, identifier) for email in OWNERS for identifier in SHARED])

    def ask(size: int) -> int:
        request = pb.LookupOwnersRequest(device_identifiers=SHARED[: size // len(OWNERS)])
        answer = client.assignments.LookupOwners(request, metadata=tenant.metadata)
        for device in answer.results:
            assert sorted(owner.email for owner in device.owners) == sorted(OWNERS)
        return sum(len(device.owners) for device in answer.results)

    return ask


def devices(client: Client, tenant: Tenant) -> Callable[[int], int]:
    import_pairs(tenant, [(ADA, f"d-{number:05}") for number in range(2_500)])
    at = client.page(tenant, ADA, page_size=1).as_of

    def ask(size: int) -> int:
        listed = [device.device_identifier for device in client.page(tenant, ADA, page_size=size, at=at).devices]
        assert listed == [f"d-{number:05}" for number in range(size)]
        return len(listed)

    return ask


def changes(client: Client, tenant: Tenant) -> Callable[[int], int]:
    operation_id = import_pairs(tenant, [(ADA, f"d-{number:05}") for number in range(2_500)])

    def ask(size: int) -> int:
        request = pb.ListOperationChangesRequest(operation_id=operation_id, page_size=size)
        answer = client.assignments.ListOperationChanges(request, metadata=tenant.metadata)
        return len(answer.changes)

    return ask


def operate(tenant: Tenant) -> None:
    for number in range(OPERATIONS):
        tenant.assign(ADA, [f"d-{number}"])


def operations(client: Client, tenant: Tenant) -> Callable[[int], int]:
    operate(tenant)

    def ask(size: int) -> int:
        request = pb.ListOperationsRequest(page_size=size // 10)
        return 10 * len(client.assignments.ListOperations(request, metadata=tenant.metadata).operations)

    return ask


class Clock:
    """Stands in for the module `time`, and counts how often a call gives way."""

    def __init__(self) -> None:
        self.sleeps = 0
        self.shortest = 0.005

    def sleep(self, _seconds: float) -> None:
        """Gives way."""
        self.sleeps += 1
        self.shortest = min(self.shortest, sys.getswitchinterval())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Counts instead of sleeping, while there is a short call."""
    clock = Clock()
    monkeypatch.setattr(fairness, "time", clock)
    short = copy_context()
    short.run(fairness.begin)
    yield clock
    short.run(fairness.end)
    eventually(lambda: sys.getswitchinterval() == pytest.approx(0.005))


@pytest.mark.parametrize("kind", [lookup, devices, changes, operations])
def test_a_long_answer_makes_turns_short_and_gives_way(
    kind: Callable[[Client, Tenant], Callable[[int], int]], client: Client, tenant: Tenant, clock: Clock
) -> None:
    ask = kind(client, tenant)
    clock.sleeps = 0
    assert ask(500) == 500
    assert clock.sleeps == 0
    assert ask(2_500) == 2_500
    # Where the answer is built, and on PostgreSQL where the rows are read; SQLite has a turn end with each row.
    postgresql = tenant.database.engine.dialect.name == "postgresql"
    assert clock.sleeps >= (1 if kind is operations else 6 if postgresql else 3)
    assert clock.shortest < 0.001


def test_a_stream_gives_way_until_it_has_caught_up(client: Client, tenant: Tenant, clock: Clock) -> None:
    operate(tenant)
    stream = client.assignments.WatchOperations(pb.WatchOperationsRequest(), metadata=tenant.metadata)
    assert len(list(islice(stream, OPERATIONS))) == OPERATIONS
    # The first two hundred are a full batch, and behind it there may be thousands.
    assert clock.sleeps >= 200
    eventually(lambda: fairness._counts == [1, 0, 0])
    sleeps = clock.sleeps
    tenant.assign(ADA, ["new"])
    assert next(stream).operation.operation_id
    assert clock.sleeps == sleeps
    assert clock.shortest == pytest.approx(0.005)
    stream.cancel()


def test_a_stream_that_is_cancelled_meanwhile_leaves_turns_as_they_were(client: Client, tenant: Tenant) -> None:
    operate(tenant)
    stream = client.assignments.WatchOperations(pb.WatchOperationsRequest(), metadata=tenant.metadata)
    next(stream)
    stream.cancel()
    eventually(lambda: fairness._counts == [0, 0, 0])


@pytest.mark.parametrize(
    ("method", "request_type"),
    [
        ("DeviceAssignmentService/ListAssignedDevices", pb.ListAssignedDevicesRequest),
        ("DeviceAssignmentService/ListOperations", pb.ListOperationsRequest),
        ("DeviceAssignmentService/ListOperationChanges", pb.ListOperationChangesRequest),
        ("CustomerService/ListCustomers", customer_pb2.ListCustomersRequest),
        ("DeviceService/ListDevices", device_pb2.ListDevicesRequest),
    ],
)
def test_a_listing_with_a_long_page_is_large(method: str, request_type: Callable[..., Message]) -> None:
    is_long = RPCS[f"deviceassignment.v1.{method}"].long_answer
    assert not is_long(b"")
    assert not is_long(b"\xff")
    assert not is_long(request_type(page_size=1_000).SerializeToString())
    assert is_long(request_type(page_size=1_001).SerializeToString())
    assert is_long(request_type(page_token="x" * 5_000).SerializeToString())


def test_calls_with_a_long_answer_have_the_permits_of_large_calls(run: Run, tenant: Tenant) -> None:
    tenant.assign(ADA, ["A"])
    running = run()
    receiver, ran = running.service._server.reception.calls, list[bool]()
    serve = receiver.run

    def noted(owner: str, task: Task, *, large: bool = False) -> None:
        ran.append(large)
        serve(owner, task, large=large)

    receiver.run = noted  # type: ignore[method-assign]  # to look at it
    assignments = running.client.assignments
    for size in (0, 1_000, 10_000):
        running.client.page(tenant, ADA, page_size=size)
    for devices in (["A"], [f"{number:020}" for number in range(100)]):
        assignments.LookupOwners(pb.LookupOwnersRequest(device_identifiers=devices), metadata=tenant.metadata)
    assert ran == [False, False, True, False, True]
