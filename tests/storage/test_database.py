"""Transactions: all or nothing, run again where they lost, and none the worse for a restart of the database."""

import gc
import resource
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import psycopg
import pytest
from sqlalchemy import PoolProxiedConnection, create_engine, make_url, select, text

from service.domain.cancellation import Cancellation
from service.domain.email import Email
from service.domain.errors import Cancelled, Conflict, CustomerNotFound, DeadlineExceeded, OutcomeUnknown
from service.domain.values import Operation
from service.storage.database import Database
from service.storage.database_url import UnsupportedDatabase
from service.storage.location import backend_of
from service.storage.tables import device
from service.storage.transaction import Retry, Transaction
from tests.conftest import Client, Serve, Tenant, new_tenant
from tests.grpc_server.conftest import eventually, held
from tests.postgres import Postgres
from tests.storage.history import replayed

ADA = Email.parse("ada@example.com")


def add_device(uow: Transaction) -> None:
    """Writes a row."""
    values = {"organization_id": uow.organization_id, "identifier": "new", "id": "dev_1", "type": "t"}
    statement = "INSERT INTO device (organization_id, identifier, id, type, created_at) VALUES"
    uow.connection.core.execute(
        text(f"{statement} (:organization_id, :identifier, :id, :type, clock_timestamp())"), values
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


@pytest.mark.parametrize("through", ["driver", "SQLAlchemy"])
def test_a_refusal_stands_where_the_connection_is_lost_behind_it(postgres_server: Postgres, through: str) -> None:
    database = Database(postgres_server.fresh(), 1)
    tenant = new_tenant(database)
    ended = text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    def work(uow: Transaction) -> None:
        uow.customers.find(email=ADA)
        if through == "SQLAlchemy":
            add_device(uow)
        # It ends the only connection of the other one's pool: this one, whose end has not been seen when it refuses.
        other = create_engine(database.engine.url)
        with other.connect() as connection:
            connection.execute(ended)
        other.dispose()
        raise CustomerNotFound

    for _ in range(2):
        with pytest.raises(CustomerNotFound):
            database.write(tenant.id, Cancellation(), work)
    assert devices(database) == []
    database.close()


def test_work_that_lost_is_run_again_from_the_beginning(database: Database, tenant: Tenant) -> None:
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


def test_work_that_keeps_losing_is_a_conflict_with_nothing_done(database: Database, tenant: Tenant) -> None:
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
    told = []

    def committing(pooled: PoolProxiedConnection) -> None:
        told.append(cancellation.cancel())
        cancellation.stop()
        commit(pooled)

    def stop(_pooled: PoolProxiedConnection) -> None:
        told.append(True)

    monkeypatch.setattr(database.backend, "commit", committing)
    monkeypatch.setattr(database.backend, "stop", stop)
    database.write(tenant.id, cancellation, add_device)
    monkeypatch.undo()
    assert told == [False]
    assert devices(database) == ["new"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_commit_that_finds_no_room_on_the_disk_is_an_unknown_outcome(
    monkeypatch: pytest.MonkeyPatch, database: Database, tenant: Tenant
) -> None:
    commit = database.backend.commit

    def without_room(pooled: PoolProxiedConnection) -> None:
        """Commits while no file of this process may grow."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            commit(pooled)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(database.backend, "commit", without_room)
    with pytest.raises(OutcomeUnknown):
        database.write(tenant.id, Cancellation(), add_device)
    monkeypatch.undo()
    assert devices(database) in ([], ["new"])
    database.write(tenant.id, Cancellation(), lambda uow: uow.devices.create(["another"], "t"))
    assert "another" in devices(database)


class _Held:
    """What a caller has while the database fails."""


def _lost(backend: str) -> Exception:
    if backend == "postgresql":
        return psycopg.errors.SerializationFailure()
    busy = sqlite3.OperationalError()
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return busy


def _lose(database: Database, tenant: Tenant) -> None:
    held = _Held()

    def fails(_uow: Transaction) -> None:
        assert held
        raise _lost(database.engine.dialect.name)

    with pytest.raises(Conflict):
        database.write(tenant.id, Cancellation(), fails)


def test_a_transaction_that_the_database_ended_leaves_nothing_to_the_collector(
    database: Database, tenant: Tenant
) -> None:
    gc.collect()
    gc.disable()
    try:
        _lose(database, tenant)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert [thing for thing in gc.garbage if isinstance(thing, _Held | Conflict | Retry)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_a_read_shows_one_moment_whatever_happens_meanwhile(database: Database, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])

    def look(uow: Transaction) -> list[str]:
        customer = uow.customers.find(email=ADA)
        assert customer is not None
        with ThreadPoolExecutor(1) as other:
            other.submit(tenant.assign, "ada@example.com", ["C"]).result()
        return uow.assignments.current(customer, "", 10)

    assert database.read(tenant.id, Cancellation(), look) == ["A", "B"]
    assert database.read(tenant.id, Cancellation(), lambda uow: len(uow.devices.known(["A", "B", "C", "D"]))) == 3


def test_a_write_whose_deadline_ends_its_wait_is_late_and_not_in_conflict(database: Database, tenant: Tenant) -> None:
    if database.engine.dialect.name != "sqlite":
        pytest.skip("only SQLite's own waiting has a time limit")
    tenant.assign("ada@example.com", ["A"])
    other = Database(database.url)

    def write(seconds: float) -> type[BaseException] | None:
        try:
            other.write(tenant.id, Cancellation(time.monotonic() + seconds), lambda _uow: None)
        except (Conflict, DeadlineExceeded) as error:
            return type(error)
        return None

    with held(database, "ada@example.com"):
        # Fractions of a millisecond, because SQLite waits for whole ones.
        found = {write(seconds) for seconds in (0.0004, 0.0009, 0.0109) for _ in range(50)}
    other.close()
    assert found == {DeadlineExceeded}


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
        # As if the last operation had been an hour from now.
        later = "3600000000" if connection.dialect.name == "sqlite" else "interval '1 hour'"
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


def test_nothing_of_an_organisation_is_seen_or_touched_by_another(database: Database, tenant: Tenant) -> None:
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


def restart(url: str) -> None:
    """Ends every connection, as a restart of PostgreSQL does."""
    admin = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        ended = connection.execute(
            text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name"),
            {"name": make_url(url).database},
        )
        assert ended.scalars().all()
    admin.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_calls_after_a_restart_of_the_database_work_at_once(
    database_url: str, serve: Serve, tenant: Tenant, postgres_server: Postgres
) -> None:
    client: Client = serve(key_cache_seconds=0)
    tenant.assign("ada@example.com", [f"{number:02}" for number in range(20)])
    with ThreadPoolExecutor(8) as pool:  # fills the pool of connections
        list(pool.map(lambda _: client.page(tenant, "ada@example.com"), range(16)))
    restart(database_url)
    answer = client.unassign(tenant, "ada@example.com", ["00"])
    assert list(answer.unassigned_devices) == ["00"]
    restart(database_url)
    assert client.page(tenant, "ada@example.com").total_count == 19
    restart(database_url)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.unassign(tenant, "ada@example.com", [f"{n:02}"]), range(1, 9)))
    assert [len(answer.unassigned_devices) for answer in answers] == [1] * 8


def connections(url: str) -> int:
    """Counts who is connected to a database."""
    admin = create_engine(make_url(url).set(database="postgres"))
    with admin.connect() as connection:
        found = connection.execute(
            text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name"), {"name": make_url(url).database}
        )
        number: int = found.scalar_one()
    admin.dispose()
    return number


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_connection_whose_pool_another_thread_has_let_go_of_is_closed(
    database_url: str, database: Database, tenant: Tenant
) -> None:
    """As when one thread finds that its connection has died and another has one that lives."""

    def work(uow: Transaction) -> None:
        assert uow.devices.known(["A"]) == {}
        database.engine.dispose()

    gc.disable()
    try:
        database.read(tenant.id, Cancellation(), work)
        eventually(lambda: connections(database_url) == 0)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://host/db"]
)
def test_a_url_of_another_database_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(UnsupportedDatabase, match=r"use sqlite:///path/to/file\.db or postgresql\+psycopg://"):
        backend_of(url)
