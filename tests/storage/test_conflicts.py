"""Every `ON CONFLICT` names its target, and an integrity error is taken for nothing but the constraint it names."""

import re
from datetime import UTC, datetime
from pathlib import Path
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

ROOT = Path(__file__).parents[2]
# Without a target, or in words that have none, any conflict passes for the one that is meant.
UNTARGETED = re.compile(
    r"ON\s+CONFLICT(?!\s*\()|INSERT\s+OR\s+(IGNORE|REPLACE)|\bREPLACE\s+INTO|on_conflict_do_\w+\(\s*\)",
    re.IGNORECASE,
)


def untargeted(text: str) -> list[str]:
    """Finds the statements that would take any conflict. Text in backticks speaks of SQL and is none."""
    return [found.group() for found in UNTARGETED.finditer(re.sub(r"`[^`\n]*`", "", text))]


def test_every_on_conflict_names_its_target() -> None:
    sources = [path for folder in ("service", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100
    found = {
        str(path.relative_to(ROOT)): words
        for path in sources
        if path != Path(__file__) and (words := untargeted(path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT INTO t VALUES (1)\non conflict\n  do update set a = 1",
        "INSERT OR IGNORE INTO t VALUES (1)",
        "insert(t).on_conflict_do_nothing()",
    ],
)
def test_one_without_a_target_is_found(text: str) -> None:
    assert untargeted(text)


def test_an_integrity_error_names_the_constraint_that_a_row_breaks(database: Database, tenant: Tenant) -> None:
    def broken(**values: Any) -> list[bool]:
        """Breaks a constraint of the organisations. Tells for which it is taken."""
        row = {"id": "org_new", "name": "another", "created_at": datetime.now(UTC), **values}
        with pytest.raises(IntegrityError) as caught, database.session() as connection:
            connection.execute(insert(organization), row)
        return [database.backend.violates(caught.value, each) for each in (UNIQUE_NAME, UNIQUE_EMAIL)]

    assert broken(name="acme") == [True, False]
    assert broken(id=tenant.id) == [False, False]
    assert broken(created_at=None) == [False, False]


def test_a_customers_update_that_breaks_another_constraint_is_no_address_that_is_taken(
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
