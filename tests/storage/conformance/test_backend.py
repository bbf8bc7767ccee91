"""Each method of `Backend`, asked directly. What the use cases ask of it is tested through them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import PoolProxiedConnection, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from service.domain.cancellation import Cancellation
from service.domain.email import Email
from service.storage import checkup, location, statistics
from service.storage.backend import ChangeSet, Failure, View
from service.storage.connection import Connection
from service.storage.database import Database
from service.storage.statement import Statement
from service.storage.tables import customer, operation, organization
from service.storage.transaction import Transaction
from tests.conftest import Tenant
from tests.databases import KINDS, kind_of
from tests.rows import changes

INSERT = Statement(text("INSERT INTO organization (id, name, created_at) VALUES (:id, :id, clock_timestamp())"))
IDS = Statement(select(organization.c.id).order_by(organization.c.id))


@contextmanager
def opened(database: Database, view: View = View.WRITE) -> Iterator[tuple[Connection, PoolProxiedConnection]]:
    """Opens a connection in a transaction, which ends in a rollback unless the block commits."""
    pooled = database.engine.raw_connection()
    database.backend.begin(pooled, Cancellation(), view)
    try:
        yield Connection(database.engine, pooled, database.backend), pooled
    finally:
        pooled.close()


def ids(database: Database) -> list[str]:
    with database.session(write=False) as connection:
        return list(connection.execute(select(organization.c.id).order_by(organization.c.id)).scalars())


def in_transaction(database: Database, tenant: Tenant, work: Callable[[Transaction], Any]) -> Any:
    return database.write(tenant.id, Cancellation(), work)


def made(connection: Connection, customer_id: str, revision: int) -> list[tuple[str, int, int]]:
    """Reads what a revision began and ended: identifier, change, and the revision that the assignment began with."""
    found = changes().c
    rows = connection.core.execute(
        select(found.device_identifier, found.change, found.assigned_revision)
        .where(found.customer_id == customer_id, found.revision == revision)
        .order_by(found.device_identifier)
    )
    return [tuple(row) for row in rows]


def test_the_list_of_backends_and_the_list_of_tested_databases_agree() -> None:
    spellings = {"postgres": "postgresql", "postgresql+psycopg": "postgresql"}
    assert {spellings.get(name, name) for name in location.BACKENDS} == set(KINDS)


def test_a_transaction_is_kept_by_a_commit_and_undone_without_one(database: Database) -> None:
    with opened(database) as (connection, pooled):
        assert connection.count(INSERT, {"id": "kept"}) == 1
        database.backend.commit(pooled)
    with opened(database) as (connection, _pooled):
        connection.count(INSERT, {"id": "lost"})
    assert ids(database) == ["kept"]


def test_a_deferred_statement_is_run_before_the_next_one_and_with_the_commit(database: Database) -> None:
    with opened(database) as (connection, pooled):
        connection.defer(INSERT, {"id": "a"})
        assert connection.rows(IDS, {}) == [("a",)]
        connection.defer(INSERT, {"id": "b"})
        database.backend.flush(pooled)
        connection.defer(INSERT, {"id": "c"})
        assert list(connection.core.execute(select(organization.c.id).order_by(organization.c.id)).scalars()) == [
            "a",
            "b",
            "c",
        ]
        connection.defer(INSERT, {"id": "d"})
        database.backend.commit(pooled)
    assert ids(database) == ["a", "b", "c", "d"]


def test_a_deferred_statement_that_fails_undoes_the_transaction(database: Database) -> None:
    def twice() -> None:
        with opened(database) as (connection, pooled):
            connection.defer(INSERT, {"id": "a"})
            connection.defer(INSERT, {"id": "a"})
            database.backend.commit(pooled)

    with pytest.raises(database.backend.driver_errors):
        twice()
    assert ids(database) == []


def test_what_a_transaction_deferred_before_it_was_undone_is_not_run_by_the_next(database: Database) -> None:
    with opened(database) as (connection, _pooled):
        connection.defer(INSERT, {"id": "lost"})
    with opened(database) as (connection, pooled):
        connection.defer(INSERT, {"id": "kept"})
        database.backend.commit(pooled)
    assert ids(database) == ["kept"]


def test_each_statement_of_a_batch_reads_what_the_one_before_it_wrote(database: Database) -> None:
    with opened(database) as (connection, _pooled):
        connection.defer(INSERT, {"id": "a"})
        assert connection.batch((IDS, INSERT, IDS), {"id": "b"}) == [[("a",)], [], [("a",), ("b",)]]


def test_a_snapshot_keeps_its_state_and_a_single_statement_needs_no_transaction(
    database: Database, tenant: Tenant
) -> None:
    with opened(database, View.SNAPSHOT) as (connection, _pooled):
        assert connection.rows(IDS, {}) == [(tenant.id,)]
        with database.session() as other:
            other.execute(text("INSERT INTO organization (id, name, created_at) VALUES ('z', 'z', clock_timestamp())"))
        assert connection.rows(IDS, {}) == [(tenant.id,)]
    with opened(database, View.STATEMENT) as (connection, pooled):
        assert connection.rows(IDS, {}) == [(tenant.id,), ("z",)]
        database.backend.commit(pooled)


def test_a_running_statement_can_be_stopped_from_another_thread(database: Database) -> None:
    endless = Statement(
        text("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < 0")
    )
    with opened(database, View.SNAPSHOT) as (connection, pooled):
        ended = threading.Event()

        def stop() -> None:
            # Again and again, because the statement may not have begun.
            while not ended.wait(0.05):
                database.backend.stop(pooled)

        stopping = threading.Thread(target=stop)
        stopping.start()
        try:
            with pytest.raises(database.backend.driver_errors) as caught:
                connection.rows(endless, {})
        finally:
            ended.set()
            stopping.join()
        assert database.backend.failure(caught.value) is Failure.STOPPED
        assert not database.backend.broken(pooled)


def test_errors_of_the_driver_are_classified(database: Database, tenant: Tenant) -> None:
    backend = database.backend
    assert backend.failure(kind_of(database).busy()) in {Failure.RETRY, Failure.BUSY}
    assert backend.failure(ValueError()) is Failure.DEFECT
    with pytest.raises(DBAPIError) as caught, database.session(write=False) as connection:
        connection.execute(text("SELECT id FROM nowhere"))
    assert backend.failure(caught.value) is Failure.DEFECT
    assert isinstance(caught.value.orig, backend.driver_errors)
    assert "nowhere" in backend.reason(caught.value.orig)
    assert "\n" not in backend.reason(caught.value.orig)


def test_a_violated_constraint_is_no_error_that_leaves_the_outcome_open(database: Database, tenant: Tenant) -> None:
    row = {"id": tenant.id, "name": "another"}
    with pytest.raises(IntegrityError) as caught, database.session() as connection:
        connection.execute(insert(organization).values(created_at=text("clock_timestamp()")), row)
    with opened(database) as (_connection, pooled):
        assert not database.backend.unconfirmed(pooled, caught.value)


def test_assignments_begin_and_end_and_the_past_has_exactly_what_ended(database: Database, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    tenant.assign("bob@example.com", ["A", "C"])
    backend = database.backend

    def work(uow: Transaction) -> None:
        ada = uow.customers.lock(Email.parse("ada@example.com"))
        assert ada is not None
        connection, here = uow.connection, uow.numbers.organization

        def change(revision: int, identifiers: list[str]) -> ChangeSet:
            return ChangeSet(here, uow.numbers.of(ada.id), revision, identifiers)

        assert backend.begin_assignments(connection, change(2, ["B", "C"])) == ["C"]
        assert made(connection, ada.id, 2) == [("C", 1, 2)]
        assert sorted(backend.end_assignments(connection, change(3, ["A", "C", "Z"]))) == ["A", "C"]
        assert made(connection, ada.id, 3) == [("A", 2, 1), ("C", 2, 2)]
        assert backend.end_all_assignments(connection, here, uow.numbers.of(ada.id), 4) == 1
        assert made(connection, ada.id, 4) == [("B", 2, 1)]
        bob = uow.customers.find(email=Email.parse("bob@example.com"))
        assert bob is not None
        assert uow.assignments.current(bob, "", 10) == ["A", "C"]
        hers, his = uow.numbers.of_all([ada.id, bob.id])
        assert backend.share_device(connection, here, "A", {hers: 5, his: 2}) == [hers]
        assert made(connection, ada.id, 5) == [("A", 1, 5)]
        assert made(connection, bob.id, 2) == []

    in_transaction(database, tenant, work)


def test_lock_and_unassign_ends_with_the_identifiers(database: Database, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])

    def work(uow: Transaction) -> None:
        parameters = {
            "organization_number": uow.numbers.organization,
            "email_key": Email.parse("ada@example.com").key,
            "identifiers": ["B", "C"],
        }
        assert uow.connection.batch(database.backend.lock_and_unassign, parameters)[-1] == [("B",)]
        ada = uow.customers.find(email=Email.parse("ada@example.com"))
        assert ada is not None
        assert made(uow.connection, ada.id, ada.revision + 1) == [("B", 2, 1)]

    in_transaction(database, tenant, work)


def test_only_devices_that_do_not_exist_are_created(database: Database, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])

    def work(uow: Transaction) -> None:
        before = uow.devices.known(["A"])
        database.backend.create_devices(uow.connection, uow.numbers.organization, "lamp", {"B": "dev_b", "A": "dev_a"})
        assert uow.devices.known(["A", "B"]) == {**before, "B": "dev_b"}
        record = uow.devices.find_record("A")
        assert record is not None
        assert record.type == "thermostat"

    in_transaction(database, tenant, work)


@pytest.mark.parametrize("lead", [timedelta(0), timedelta(hours=1)])
def test_an_operation_moves_each_customer_by_one_revision_at_one_time(
    database: Database, tenant: Tenant, lead: timedelta
) -> None:
    for email in ("ada@example.com", "bob@example.com"):
        tenant.assign(email, ["A"])

    def work(uow: Transaction) -> None:
        connection = uow.connection.core
        before = {row[0]: row[1] for row in connection.execute(select(customer.c.number, customer.c.changed_at))}
        values = {
            "organization_number": uow.numbers.organization,
            "id": "op_1",
            "kind": "assign",
            "key_id": None,
            "note": "",
            "assigned_count": 3,
            "unassigned_count": 0,
            "reverts_operation_id": None,
        }
        database.backend.record_operation(uow.connection, values, dict.fromkeys(before, 2), lead=lead)
        connection = uow.connection.core
        rows = connection.execute(select(customer.c.revision, customer.c.device_count, customer.c.changed_at)).all()
        assert [(row[0], row[1]) for row in rows] == [(2, 3), (2, 3)]
        (at,) = {row[2] for row in rows}
        assert at >= max(before.values()) + lead
        assert connection.execute(select(operation.c.occurred_at).where(operation.c.id == "op_1")).scalar_one() == at

    in_transaction(database, tenant, work)


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_the_changes_of_an_operation_are_listed_in_pages(database: Database, tenant: Tenant, limit: int) -> None:
    operation_id = tenant.assign("ada@example.com", ["B", "A", "é", "\U0001f600", "\uffee"])

    def work(uow: Transaction) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        after: tuple[int, str] = (0, "")
        while True:
            parameters = {
                "organization_number": uow.numbers.organization,
                "operation_id": operation_id,
                "after_customer": after[0],
                "after_device": after[1],
                "limit": limit,
            }
            page = database.backend.operation_changes(uow.connection, parameters)
            assert len(page) <= limit
            if not page:
                return found
            found += page
            after = (uow.numbers.of(page[-1][0]), page[-1][1])

    found = in_transaction(database, tenant, work)
    assert [(row[1], row[2]) for row in found] == [(name, 1) for name in ("A", "B", "é", "\uffee", "\U0001f600")]


@pytest.mark.parametrize("name", KINDS)
def test_a_database_takes_writes_and_needs_no_warning(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with KINDS[name].fresh(request, tmp_path) as url:
        database = Database(url)
        assert database.writable()
        assert database.reachable()
        assert database.backend.missing_file("make it") == ""
        with database.engine.connect() as connection:
            assert database.backend.unsuitable(connection) == ""
        assert isinstance(statistics.renew(database), list)
        demand = checkup.Demand(1, "")
        assert {line.state for line in checkup.findings(database, demand)} <= {checkup.State.OK, checkup.State.WARNING}
        assert database.backend.place
        database.close()
