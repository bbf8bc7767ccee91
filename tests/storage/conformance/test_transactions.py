"""Transactions: all or nothing, run again after a conflict, and one committed state for every read."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import PoolProxiedConnection, select, text

from service.domain.cancellation import Cancellation
from service.domain.email import Email
from service.domain.errors import Cancelled, Conflict, CustomerNotFound
from service.domain.values import Operation
from service.storage.database import Database
from service.storage.tables import device
from service.storage.transaction import Retry, Transaction
from tests.conftest import Tenant, new_tenant
from tests.databases import kind_of
from tests.storage.history import replayed

ADA = Email.parse("ada@example.com")


def add_device(uow: Transaction) -> None:
    """Inserts a device."""
    values = {"organization_number": uow.numbers.organization, "identifier": "new", "id": "dev_1", "type": "t"}
    statement = "INSERT INTO device (organization_number, identifier, id, type, created_at) VALUES"
    uow.connection.core.execute(
        text(f"{statement} (:organization_number, :identifier, :id, :type, clock_timestamp())"), values
    )


def devices(database: Database) -> list[str]:
    with database.session(write=False) as connection:
        return list(connection.execute(select(device.c.identifier)).scalars())


def test_what_a_transaction_did_before_it_failed_is_undone(database: Database, tenant: Tenant) -> None:
    def work(uow: Transaction) -> None:
        add_device(uow)
        raise CustomerNotFound

    with pytest.raises(CustomerNotFound):
        database.write(tenant.id, Cancellation(), work)
    assert devices(database) == []


def test_work_is_run_again_after_a_conflict(database: Database, tenant: Tenant) -> None:
    attempts = []

    def work(uow: Transaction) -> str:
        add_device(uow)
        attempts.append(1)
        if len(attempts) < 3:
            raise Retry
        return "done"

    assert database.write(tenant.id, Cancellation(), work) == "done"
    assert len(attempts) == 3
    assert devices(database) == ["new"]


def test_work_whose_every_attempt_is_in_conflict_changes_nothing(database: Database, tenant: Tenant) -> None:
    def work(uow: Transaction) -> None:
        add_device(uow)
        raise Retry

    with pytest.raises(Conflict):
        database.write(tenant.id, Cancellation(), work)
    assert devices(database) == []


def test_a_call_that_is_cancelled_right_before_its_commit_changes_nothing(database: Database, tenant: Tenant) -> None:
    cancellation = Cancellation()

    def work(uow: Transaction) -> None:
        add_device(uow)
        cancellation.cancel()

    with pytest.raises(Cancelled):
        database.write(tenant.id, cancellation, work)
    assert devices(database) == []


def test_nothing_is_stopped_once_the_commit_has_begun(
    monkeypatch: pytest.MonkeyPatch, database: Database, tenant: Tenant
) -> None:
    cancellation = Cancellation()
    commit = database.backend.commit
    stopped = []

    def committing(pooled: PoolProxiedConnection) -> None:
        stopped.append(cancellation.cancel())
        cancellation.stop()
        commit(pooled)

    def stop(_pooled: PoolProxiedConnection) -> None:
        stopped.append(True)

    monkeypatch.setattr(database.backend, "commit", committing)
    monkeypatch.setattr(database.backend, "stop", stop)
    database.write(tenant.id, cancellation, add_device)
    monkeypatch.undo()
    assert stopped == [False]
    assert devices(database) == ["new"]


class _Held:
    """An object that the caller refers to while the database fails."""


def _fail(database: Database, tenant: Tenant) -> None:
    held = _Held()

    def fails(_uow: Transaction) -> None:
        assert held
        raise kind_of(database).busy()

    with pytest.raises(Conflict):
        database.write(tenant.id, Cancellation(), fails)


def test_a_failed_transaction_leaves_no_reference_cycle(database: Database, tenant: Tenant) -> None:
    gc.collect()
    gc.disable()
    try:
        _fail(database, tenant)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert [thing for thing in gc.garbage if isinstance(thing, _Held | Conflict | Retry)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_a_read_sees_one_state_though_others_commit_meanwhile(database: Database, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])

    def look(uow: Transaction) -> list[str]:
        customer = uow.customers.find(email=ADA)
        assert customer is not None
        with ThreadPoolExecutor(1) as other:
            other.submit(tenant.assign, "ada@example.com", ["C"]).result()
        return uow.assignments.current(customer, "", 10)

    assert database.read(tenant.id, Cancellation(), look) == ["A", "B"]
    assert database.read(tenant.id, Cancellation(), lambda uow: len(uow.devices.known(["A", "B", "C", "D"]))) == 3


def test_a_customers_lock_keeps_other_writers_of_the_customer_out(database: Database, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    order: list[str] = []
    locked = threading.Event()

    def first(uow: Transaction) -> None:
        assert uow.customers.lock(ADA) is not None
        locked.set()
        threading.Event().wait(0.2)
        order.append("first is done")

    def second(uow: Transaction) -> None:
        assert uow.customers.lock(ADA) is not None
        order.append("second has it")

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(database.write, tenant.id, Cancellation(), first)
        assert locked.wait(120)
        pool.submit(database.write, tenant.id, Cancellation(), second).result()
        one.result()
    assert order == ["first is done", "second has it"]


def test_the_time_of_a_customers_operations_only_grows_even_if_the_clock_is_set_back(
    database: Database, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A", "B", "C"])
    with database.session() as connection:
        # As if the last operation had been one hour in the future.
        later = kind_of(database).interval(timedelta(hours=1))
        for table, column in (
            ("customer", "changed_at"),
            ("operation", "occurred_at"),
            ("customer_revision", "occurred_at"),
        ):
            connection.execute(text(f"UPDATE {table} SET {column} = {column} + {later}"))

    def unassign(identifier: str) -> None:
        def work(uow: Transaction) -> None:
            customer = uow.customers.lock(ADA)
            assert customer is not None
            assert uow.assignments.end(customer, [identifier]) == [identifier]
            uow.operations.record(Operation(identifier, "unassign", None, "", {customer.id: -1}, unassigned_count=1))

        database.write(tenant.id, Cancellation(), work)

    for identifier in ("A", "B"):
        unassign(identifier)
    times = sorted(replayed(database, tenant.id).times.values())
    assert [(after - before).total_seconds() for before, after in pairwise(times)] == [1e-6, 1e-6]


def test_an_organisation_neither_reads_nor_changes_data_of_another(database: Database, tenant: Tenant) -> None:
    other = new_tenant(database, "other")
    for each in (tenant, other):
        each.assign("ada@example.com", ["A", "B"])
    before = replayed(database, other.id)

    def work(uow: Transaction) -> None:
        customer = uow.customers.lock(ADA)
        assert customer is not None
        uow.assignments.end(customer, ["A", "B"])
        uow.operations.record(Operation("op", "unassign", None, "", {customer.id: -2}, unassigned_count=2))

    database.write(tenant.id, Cancellation(), work)
    assert replayed(database, other.id) == before
    (ada,) = before.customers
    assert database.read(tenant.id, Cancellation(), lambda uow: uow.customers.find(customer_id=ada)) is None
