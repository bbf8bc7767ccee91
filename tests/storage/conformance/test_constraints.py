"""An integrity error is about the constraint that it names and no other."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from service.domain.cancellation import Cancellation
from service.domain.email import Email
from service.storage.database import Database
from service.storage.tables import UNIQUE_EMAIL, UNIQUE_NAME, organization
from service.storage.transaction import Transaction
from tests.conftest import Tenant


def test_an_integrity_error_names_the_constraint_that_a_row_breaks(database: Database, tenant: Tenant) -> None:
    def broken(**values: Any) -> list[bool]:
        """Breaks a constraint of the organisations. Returns for which of two constraints it is taken."""
        row = {"id": "org_new", "name": "another", "created_at": datetime.now(UTC), **values}
        with pytest.raises(IntegrityError) as caught, database.session() as connection:
            connection.execute(insert(organization), row)
        return [database.backend.violates(caught.value, each) for each in (UNIQUE_NAME, UNIQUE_EMAIL)]

    assert broken(name="acme") == [True, False]
    assert broken(id=tenant.id) == [False, False]
    assert broken(created_at=None) == [False, False]


def test_an_update_of_a_customer_that_breaks_another_constraint_is_not_reported_as_a_taken_address(
    database: Database, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A"])
    tenant.assign("bob@example.com", ["B"])

    def save(email: str, fields: dict[str, Any]) -> bool:
        def work(uow: Transaction) -> bool:
            customer = uow.customers.lock(Email.parse("ada@example.com"))
            assert customer is not None
            return uow.customers.update(customer.id, Email.parse(email), fields)

        return database.write(tenant.id, Cancellation(), work)

    assert not save("bob@example.com", {"name": "Ada"})
    with pytest.raises(IntegrityError):
        save("ada@example.com", {"name": None})
