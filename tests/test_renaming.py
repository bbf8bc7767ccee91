"""A customer's address changes between two statements of a write: the write has all of its locks, or is run again.

On PostgreSQL only: SQLite has one writer, so nothing changes between two statements of a write there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text

from service.domain.assign_device import AssignDevice, assign_device
from service.domain.assign_devices import AssignDevices, assign_devices
from service.domain.cancellation import Cancellation
from service.domain.create_or_update_customer import CreateOrUpdateCustomer, create_or_update_customer
from service.domain.email import Email
from service.domain.errors import Conflict
from service.domain.options import Options
from service.domain.transfer_devices import TransferDevices, transfer_devices
from service.storage import bulk
from service.storage.database import Database
from service.storage.numbers import number_in_session
from tests.conftest import Tenant
from tests.grpc_server.api import ledger
from tests.storage.history import replayed

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

ADA, BOB, OTHER = (Email.parse(f"{name}@example.com") for name in ("ada", "bob", "other"))

Rename = Callable[[Email, Email], None]


@pytest.fixture
def rename(database: Database, tenant: Tenant) -> Rename:
    """Changes the address of a customer, in a transaction of its own."""

    def run(old: Email, new: Email) -> None:
        with database.session() as connection:
            found = connection.execute(
                text(
                    "UPDATE customer SET email = :email, email_key = :new"
                    " WHERE organization_number = :organization_number AND email_key = :old"
                ),
                {
                    "email": new.given,
                    "new": new.key,
                    "old": old.key,
                    "organization_number": number_in_session(connection, tenant.id),
                },
            )
            assert found.rowcount == 1

    return run


@contextmanager
def renamed_around_the_insert(
    monkeypatch: pytest.MonkeyPatch, database: Database, rename: Rename, times: int
) -> Iterator[list[int]]:
    """Has OTHER take ADA's address right before a customer of that address is inserted, and give it back after.

    Args:
        monkeypatch: undoes it.
        database: the database.
        rename: gives a customer another address.
        times: at how many of the inserts.

    Yields:
        One member for each insert.
    """
    inserts: list[int] = []
    create = type(database.backend).create_customers

    def counted(self: Any, connection: Any, organization_number: int, emails: Any, ids: Any) -> set[str]:
        if ADA.key not in {email.key for email in emails}:
            return create(self, connection, organization_number, emails, ids)
        inserts.append(1)
        if len(inserts) > times:
            return create(self, connection, organization_number, emails, ids)
        rename(OTHER, ADA)
        found = create(self, connection, organization_number, emails, ids)
        rename(ADA, OTHER)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(type(database.backend), "create_customers", counted)
        yield inserts


def assign(uow: Any) -> str:
    result = assign_devices(uow, AssignDevices(ADA, ["A"], Options("key")))
    assert result.customer_was_created
    assert [device.identifier for device in result.assigned] == ["A"]
    assert result.customer_id
    return result.operation_id


def share(uow: Any) -> str:
    result = assign_device(uow, AssignDevice("A", [BOB, ADA], Options("key")))
    assert [(customer.email, customer.was_created) for customer in result.customers] == [
        (BOB.given, False),
        (ADA.given, True),
    ]
    assert all(customer.customer_id for customer in result.customers)
    return result.operation_id


def transfer(uow: Any) -> str:
    result = transfer_devices(uow, TransferDevices(BOB, ADA, ["B"], Options("key")))
    assert result.target_was_created
    assert result.transferred == ["B"]
    assert result.target_id
    return result.operation_id


WRITES = pytest.mark.parametrize("write", [assign, share, transfer])


@WRITES
def test_a_write_whose_customer_is_renamed_meanwhile_is_run_again(
    monkeypatch: pytest.MonkeyPatch, database: Database, tenant: Tenant, rename: Rename, write: Callable[[Any], str]
) -> None:
    tenant.assign(OTHER.given, ["A"])
    tenant.assign(BOB.given, ["B"])
    with renamed_around_the_insert(monkeypatch, database, rename, times=2) as inserts:
        operation_id = database.write(tenant.id, Cancellation(), write)
    assert len(inserts) == 3
    assert operation_id in replayed(database, tenant.id).operations


@WRITES
def test_a_write_whose_customer_is_always_renamed_is_a_conflict_with_nothing_done(
    monkeypatch: pytest.MonkeyPatch, database: Database, tenant: Tenant, rename: Rename, write: Callable[[Any], str]
) -> None:
    tenant.assign(OTHER.given, ["A"])
    tenant.assign(BOB.given, ["B"])
    before = ledger.picture(database, tenant)
    with renamed_around_the_insert(monkeypatch, database, rename, times=100), pytest.raises(Conflict):
        database.write(tenant.id, Cancellation(), write)
    assert ledger.picture(database, tenant) == before


def test_a_new_customer_whose_address_is_taken_and_given_back_meanwhile_is_made(
    monkeypatch: pytest.MonkeyPatch, database: Database, tenant: Tenant, rename: Rename
) -> None:
    tenant.assign(OTHER.given, ["A"])
    command = CreateOrUpdateCustomer(ADA, "", Options("key"))
    with renamed_around_the_insert(monkeypatch, database, rename, times=1):
        customer_id = database.write(tenant.id, Cancellation(), lambda uow: create_or_update_customer(uow, command))
    assert replayed(database, tenant.id).customers[customer_id].email == ADA.given


@contextmanager
def around(database: Database, words: str, before: Callable[[], None], after: Callable[[], None]) -> Iterator[None]:
    """Does something before and after the first statement that begins with these words."""
    left = [before, after]

    def act(which: Callable[[], None], statement: str) -> None:
        if statement.lstrip().startswith(words) and which in left:
            left.remove(which)
            which()

    def first(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        act(before, statement)

    def then(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        act(after, statement)

    event.listen(database.engine, "before_cursor_execute", first)
    event.listen(database.engine, "after_cursor_execute", then)
    try:
        yield
    finally:
        event.remove(database.engine, "before_cursor_execute", first)
        event.remove(database.engine, "after_cursor_execute", then)
    assert not left


def test_an_import_whose_customer_is_renamed_meanwhile_is_run_again(
    database: Database, tenant: Tenant, rename: Rename
) -> None:
    tenant.assign(OTHER.given, ["A"])
    with around(database, "INSERT INTO customer", lambda: rename(OTHER, ADA), lambda: rename(ADA, OTHER)):
        operation_id = tenant.assign(ADA.given, ["A", "B"])
    history = replayed(database, tenant.id)
    assert history.operations[operation_id].assigned_count == 2
    assert {row.email for row in history.customers.values()} == {ADA.given, OTHER.given}


def test_an_import_does_not_assign_a_device_that_was_made_with_another_type_meanwhile(
    database: Database, tenant: Tenant
) -> None:
    def make() -> None:
        command = AssignDevices(BOB, ["A"], Options("key"), auto_create_devices=True, device_type="lamp")
        other = Database(database.url)
        other.write(tenant.id, Cancellation(), lambda uow: assign_devices(uow, command))
        other.close()

    with (
        around(database, "INSERT INTO device", make, lambda: None),
        pytest.raises(bulk.BadLines, match="1 bad lines"),
    ):
        tenant.assign(ADA.given, ["A"])
    assert [row.email for row in replayed(database, tenant.id).customers.values()] == [BOB.given]
