"""The numbers of organisations and customers, and ids that clash."""

from typing import Any

import pytest
from sqlalchemy import select, text, update

from service.domain.assign_devices import AssignDevices, assign_devices
from service.domain.cancellation import Cancellation
from service.domain.email import Email
from service.domain.errors import ApiKeyInvalid, Conflict
from service.domain.ids import new_id
from service.domain.options import Options
from service.storage import customers, numbers
from service.storage.database import Database
from service.storage.tables import customer, organization
from tests.conftest import Tenant, new_tenant
from tests.storage.history import replayed

CAT = Email.parse("cat@example.com")


def assign_to_cat(uow: Any) -> str:
    command = AssignDevices(CAT, ["A"], Options("key"), auto_create_devices=True, device_type="lamp")
    return assign_devices(uow, command).customer_id


def clashing(monkeypatch: pytest.MonkeyPatch, taken: str, times: int) -> list[int]:
    """Has the next new customers get an id that another customer has."""
    made: list[int] = []

    def clash(prefix: str) -> str:
        made.append(1)
        return taken if len(made) <= times else new_id(prefix)

    monkeypatch.setattr(customers, "new_id", clash)
    return made


def test_a_transaction_whose_new_id_exists_is_run_again(
    monkeypatch: pytest.MonkeyPatch, database: Database, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A"])
    [taken] = replayed(database, tenant.id).customers
    made = clashing(monkeypatch, taken, times=2)
    customer_id = database.write(tenant.id, Cancellation(), assign_to_cat)
    assert len(made) == 3
    assert set(replayed(database, tenant.id).customers) == {taken, customer_id}


def test_an_id_that_always_exists_is_a_conflict_with_nothing_done(
    monkeypatch: pytest.MonkeyPatch, database: Database, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A"])
    [taken] = replayed(database, tenant.id).customers
    clashing(monkeypatch, taken, times=1_000)
    with pytest.raises(Conflict):
        database.write(tenant.id, Cancellation(), assign_to_cat)
    assert set(replayed(database, tenant.id).customers) == {taken}


def test_the_same_id_may_exist_in_two_organisations(
    monkeypatch: pytest.MonkeyPatch, database: Database, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A"])
    [taken] = replayed(database, tenant.id).customers
    other = new_tenant(database, "other")
    clashing(monkeypatch, taken, times=1)
    assert database.write(other.id, Cancellation(), assign_to_cat) == taken
    for each in (tenant, other):
        assert set(replayed(database, each.id).customers) == {taken}


def test_any_text_of_64_characters_is_an_id(database: Database, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    imported = "\U0001f600" * 64
    with database.session() as connection:
        connection.execute(update(customer).values(id=imported))

    def find(uow: Any) -> Any:
        return uow.customers.find(customer_id=imported), uow.operations.find(next(iter(history.operations)))

    history = replayed(database, tenant.id)
    found, operation = database.read(tenant.id, Cancellation(), find)
    assert found.id == imported
    assert operation.customer_ids == [imported]


def test_numbers_are_given_once_and_in_order(database: Database, tenant: Tenant) -> None:
    for name in ("ada", "bob", "cat"):
        tenant.assign(f"{name}@example.com", ["A"])
    with database.session(write=False) as connection:
        found = connection.execute(select(customer.c.number, customer.c.email).order_by(customer.c.number)).all()
    assert [row[1] for row in found] == ["ada@example.com", "bob@example.com", "cat@example.com"]
    assert len({row[0] for row in found}) == 3


def test_the_number_of_a_deleted_organisation_is_not_given_again(database: Database) -> None:
    with database.session() as connection:
        insert = text("INSERT INTO organization (id, name, created_at) VALUES (:id, :id, clock_timestamp())")
        number = select(organization.c.number)
        connection.execute(insert, {"id": "first"})
        first = connection.execute(number).scalar_one()
        connection.execute(text("DELETE FROM organization"))
        connection.execute(insert, {"id": "second"})
        assert connection.execute(number).scalar_one() > first


def test_a_key_of_an_organisation_that_is_gone_is_refused(database: Database, tenant: Tenant) -> None:
    with pytest.raises(ApiKeyInvalid):
        database.read("org_gone", Cancellation(), lambda uow: uow.customers.find(customer_id="x"))
    with pytest.raises(ApiKeyInvalid), database.session() as connection:
        numbers.number_in_session(connection, "org_gone")


def test_a_customer_who_does_not_exist_has_no_number(database: Database, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    [ada] = replayed(database, tenant.id).customers
    found = database.read(tenant.id, Cancellation(), lambda uow: uow.numbers.of_all([ada, "nothing", "\0", ada]))
    assert found[0] == found[3] > 0
    assert found[1:3] == [0, 0]
