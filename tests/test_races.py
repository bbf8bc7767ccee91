"""Races: many callers and real servers on one database. Whatever the order, every answer is exact."""

import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import grpc
import pytest
from deviceassignment.v1 import customer_pb2
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.ids import new_id
from service.storage.database import Database
from tests.conftest import Client, Failure, Serve, Tenant, failure
from tests.storage.history import History, replayed

T = TypeVar("T")

CALLERS = 16
DEVICES = [f"device-{number:03}" for number in range(60)]
ADA = "ada@example.com"


@pytest.fixture(params=[1, 2], ids=["one-server", "two-servers"])
def clients(request: pytest.FixtureRequest, serve: Serve) -> list[Client]:
    """A client for each caller; with two servers they take turns, and the servers share nothing but the database."""
    servers = [serve(threads=CALLERS) for _ in range(request.param)]
    return [servers[caller % len(servers)] for caller in range(CALLERS)]


def at_once(call: Callable[[int], T], callers: int = CALLERS) -> list[T]:
    """Makes the calls of all callers at the same moment and gives what they returned."""
    barrier = threading.Barrier(callers)

    def start(caller: int) -> T:
        barrier.wait()
        return call(caller)

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(start, range(callers)))


def assert_exact(history: History, answers: list[pb.UnassignDevicesResponse]) -> None:
    """Checks each answer against the moment that its revision names."""
    for answer in answers:
        assert list(answer.devices_remaining) == history.devices(answer.revision)
        assert answer.remaining_count == len(answer.devices_remaining)
        if answer.operation_id:
            assert history.made[answer.operation_id, answer.customer_id] == answer.revision
            assert history.operations[answer.operation_id].unassigned_count == len(answer.unassigned_devices)
        else:
            assert not answer.unassigned_devices
    ended = Counter((a.customer_id, identifier) for a in answers for identifier in a.unassigned_devices)
    assert ended == history.ends
    made = [answer.revision for answer in answers if answer.operation_id]
    assert len(set(made)) == len(made)


def test_the_same_devices_from_16_callers_are_ended_once_and_every_remaining_list_is_exact(
    clients: list[Client], tenant: Tenant, database: Database
) -> None:
    answers = []
    for attempt in range(3):
        customer = f"{attempt}@example.com"
        tenant.assign(customer, DEVICES)
        wanted = [random.sample(DEVICES[:20], 20) for _ in range(CALLERS)]
        got = at_once(lambda caller: clients[caller].unassign(tenant, customer, wanted[caller]))  # noqa: B023  # done here
        assert sorted(len(answer.unassigned_devices) for answer in got) == [0] * (CALLERS - 1) + [20]
        assert {answer.revision for answer in got} == {got[0].revision}
        answers += got
    assert_exact(replayed(database, tenant.id), answers)


def test_overlapping_batches_from_16_callers_end_each_assignment_once(
    clients: list[Client], tenant: Tenant, database: Database
) -> None:
    answers = []
    for attempt in range(3):
        customer = f"{attempt}@example.com"
        tenant.assign(customer, DEVICES)
        wanted = [random.sample(DEVICES, 6) for _ in range(CALLERS)]
        got = at_once(lambda caller: clients[caller].unassign(tenant, customer, wanted[caller]))  # noqa: B023  # done here
        for batch, answer in zip(wanted, got, strict=True):
            assert [i for i in batch if i in answer.unassigned_devices] == list(answer.unassigned_devices)
            assert [i for i in batch if i not in answer.unassigned_devices] == list(answer.skipped)
            assert set(answer.skip_reasons) <= {pb.SKIP_REASON_NOT_ASSIGNED}
        assert min(len(answer.devices_remaining) for answer in got) == len(set(DEVICES).difference(*wanted))
        answers += got
    assert_exact(replayed(database, tenant.id), answers)


def test_16_callers_of_16_customers_do_not_disturb_each_other(
    clients: list[Client], tenant: Tenant, database: Database
) -> None:
    for caller in range(CALLERS):
        tenant.assign(f"{caller}@example.com", DEVICES)
    answers = at_once(lambda c: [clients[c].unassign(tenant, f"{c}@example.com", [i]) for i in DEVICES[:6]])
    for theirs in answers:
        assert [len(answer.devices_remaining) for answer in theirs] == list(range(59, 53, -1))
    assert_exact(replayed(database, tenant.id), [answer for theirs in answers for answer in theirs])


@pytest.mark.parametrize("options", ["plain", "require_all", "expected_revision", "nothing to do"])
def test_the_same_request_id_from_16_callers_has_one_effect_and_16_equal_answers(
    clients: list[Client], tenant: Tenant, database: Database, options: str
) -> None:
    before = replayed(database, tenant.id)
    for attempt in range(2):
        customer = f"{attempt}@example.com"
        tenant.assign(customer, DEVICES)
        now = clients[0].unassign(tenant, customer, ["none"], validate_only=True)
        fields: dict[str, Any] = {"request_id": str(uuid.uuid4())}
        if options == "require_all":
            fields["require_all"] = True
        if options == "expected_revision":
            fields["expected_revision"] = now.revision
        batch = ["none"] if options == "nothing to do" else DEVICES[:10]
        answers = at_once(lambda c: clients[c].unassign(tenant, customer, batch, **fields))  # noqa: B023  # done here
        assert answers == [answers[0]] * CALLERS
        after = replayed(database, tenant.id)
        changed = options != "nothing to do"
        assert len(after.operations) - len(before.operations) == 1 + changed  # the import is one
        assert after.replies - before.replies == 1
        assert (after.ends - before.ends).total() == 10 * changed
        assert_exact_one(after, answers[0])
        before = after


def assert_exact_one(history: History, answer: pb.UnassignDevicesResponse) -> None:
    """Checks an answer that need not be the only one of its customer."""
    assert list(answer.devices_remaining) == history.devices(answer.revision)
    assert bool(answer.operation_id) == bool(answer.unassigned_devices)


@pytest.mark.parametrize("differ_in", ["devices", "customers"])
def test_the_same_request_id_for_different_requests_at_once_works_for_one_of_them(
    clients: list[Client], tenant: Tenant, database: Database, differ_in: str
) -> None:
    for caller in range(CALLERS):
        tenant.assign(f"{caller}@example.com", DEVICES)
    for _ in range(2):
        request_id = str(uuid.uuid4())
        before = replayed(database, tenant.id)

        def call(caller: int) -> pb.UnassignDevicesResponse | Failure:
            customer = f"{caller}@example.com" if differ_in == "customers" else "0@example.com"
            batch = DEVICES[:1] if differ_in == "customers" else [DEVICES[caller]]
            try:
                return clients[caller].unassign(tenant, customer, batch, request_id=request_id)  # noqa: B023  # done here
            except grpc.RpcError as error:
                broken = error

            def refused() -> None:
                raise broken

            return failure(refused)

        outcomes = at_once(call)
        won = [outcome for outcome in outcomes if isinstance(outcome, pb.UnassignDevicesResponse)]
        lost = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
        assert len(won) == 1
        assert {(f.code, f.reason) for f in lost} == {
            (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_REQUEST_ID_REUSED")
        }
        after = replayed(database, tenant.id)
        ended = [(won[0].customer_id, identifier) for identifier in won[0].unassigned_devices]
        assert after.ends - before.ends == Counter(ended)
        assert after.replies - before.replies == 1


def test_unassigning_against_imports_that_give_the_devices_back_loses_nothing(
    clients: list[Client], tenant: Tenant, database: Database
) -> None:
    tenant.assign(ADA, DEVICES)
    taking = threading.Event()
    given = []

    def give_back() -> None:
        while not taking.is_set():
            given.append(tenant.assign(ADA, random.sample(DEVICES, 30)))
            # On SQLite, processes have no queue for the file's lock: without a pause one could keep it from the others.
            taking.wait(0.01)

    def take(caller: int) -> list[pb.UnassignDevicesResponse]:
        return [clients[caller].unassign(tenant, ADA, random.sample(DEVICES, 8)) for _ in range(8)]

    with ThreadPoolExecutor(2) as sources:
        busy = [sources.submit(give_back) for _ in range(2)]
        try:
            answers = [answer for theirs in at_once(take) for answer in theirs]
        finally:
            taking.set()
        for source in busy:
            source.result()
    history = replayed(database, tenant.id)
    assert_exact(history, answers)
    imported = {operation_id for operation_id, row in history.operations.items() if row.kind == "import"}
    assert imported >= {operation_id for operation_id in given if operation_id}
    assert len(imported) > 1
    unassigned = {answer.operation_id for answer in answers if answer.operation_id}
    assert set(history.operations) == imported | unassigned
    assert clients[0].devices(tenant, ADA) == history.devices(clients[0].page(tenant, ADA).revision)


def test_unassigning_from_an_address_that_changes_hands_is_exact_for_the_customer_named(
    clients: list[Client], tenant: Tenant, database: Database
) -> None:
    for customer in ("one", "two"):
        tenant.assign(f"{customer}@example.com", DEVICES)
    ids = {row.email: row.id for row in replayed(database, tenant.id).customers.values()}
    over = threading.Event()

    def rename(client: Client) -> None:
        """Returns the address to the one and the other customer by fairness."""
        while not over.is_set():
            for customer in ("one", "two"):
                for email in (ADA, f"{customer}@example.com"):
                    request = customer_pb2.CreateOrUpdateCustomerRequest(
                        email=email, telemetron_customer_id=ids[f"{customer}@example.com"]
                    )
                    with suppress(grpc.RpcError):
                        client.customers.CreateOrUpdateCustomer(request, metadata=tenant.metadata)
            over.wait(0.001)

    def take(caller: int) -> list[pb.UnassignDevicesResponse]:
        answers = []
        for turn in range(12):
            # In one batch of statements, and in several.
            options = {"require_all": True} if turn % 4 == 3 else {}
            try:
                answers.append(clients[caller].unassign(tenant, ADA, random.sample(DEVICES, 2), **options))
            except grpc.RpcError as error:
                broken: Any = error
                assert broken.code().name in {"NOT_FOUND", "FAILED_PRECONDITION", "ABORTED"}
        return answers

    with ThreadPoolExecutor(2) as renamers:
        busy = [renamers.submit(rename, clients[number]) for number in range(2)]
        try:
            answers = [answer for theirs in at_once(take) for answer in theirs]
        finally:
            over.set()
        for renamer in busy:
            renamer.result()
    assert answers
    assert {answer.customer_id for answer in answers} <= set(ids.values())
    assert_exact(replayed(database, tenant.id), answers)


def test_imports_of_the_same_new_customers_at_once_make_each_of_them_once(tenant: Tenant, database: Database) -> None:
    def give(caller: int) -> str:
        mixed = random.Random(caller).sample(DEVICES, 30)  # noqa: S311  # no secret
        return tenant.assign(f"{caller % 2}@example.com", [*mixed, new_id("own")])

    operations = at_once(give, 6)
    history = replayed(database, tenant.id)
    assert len(history.customers) == 2
    assert set(history.operations) == set(operations)
