"""What must be true of the tables after any history, and a picture of them to compare."""

from collections import Counter, defaultdict
from typing import Any

from sqlalchemy import Table, select

from service.storage import tables
from service.storage.database import Database
from tests.conftest import Tenant

ASSIGNED, UNASSIGNED = 1, 2


def rows(database: Database, tenant: Tenant, table: Table) -> list[Any]:
    """Reads an organisation's rows of a table, ordered by their key."""
    mine = select(table).where(table.c.organization_id == tenant.id)
    with database.session(write=False) as connection:
        return list(connection.execute(mine.order_by(*table.primary_key)))


def picture(database: Database, tenant: Tenant) -> dict[str, list[Any]]:
    """Gives every row that an organisation has, but for its keys, whose last use is noted at any time."""
    names = sorted(set(tables.metadata.tables) - {"api_key", "organization"})
    return {name: rows(database, tenant, tables.metadata.tables[name]) for name in names}


def check(database: Database, tenant: Tenant) -> None:
    """Holds the tables of an organisation against each other."""

    def mine(table: Table) -> list[Any]:
        return rows(database, tenant, table)

    changes = mine(tables.assignment_change)
    made = {(row.customer_id, row.revision): row for row in mine(tables.customer_revision)}
    held: dict[str, dict[str, int]] = defaultdict(dict)
    counted: Counter[tuple[str, int]] = Counter()
    by_revision = defaultdict(list)
    for change in changes:
        by_revision[change.customer_id, change.revision].append(change)
    for key in sorted(made):
        customer_id, revision = key
        for change in by_revision.pop(key):
            counted[made[key].operation_id, change.change] += 1
            if change.change == ASSIGNED:
                assert change.device_identifier not in held[customer_id]
                assert change.assigned_revision == revision
                held[customer_id][change.device_identifier] = revision
            else:
                assert held[customer_id].pop(change.device_identifier) == change.assigned_revision
        assert made[key].device_count == len(held[customer_id])
        if revision > 1:
            assert made[key].occurred_at > made[customer_id, revision - 1].occurred_at
    assert not by_revision

    for customer in mine(tables.customer):
        revisions = sorted(revision for customer_id, revision in made if customer_id == customer.id)
        assert revisions == list(range(1, customer.revision + 1))
        assert customer.device_count == len(held[customer.id])
    standing = {(row.customer_id, row.device_identifier): row.assigned_revision for row in mine(tables.assignment)}
    assert standing == {(c, d): revision for c, devices in held.items() for d, revision in devices.items()}

    operations = mine(tables.operation)
    assert {row.operation_id for row in made.values()} == {row.id for row in operations}
    for operation in operations:
        assert operation.assigned_count == counted[operation.id, ASSIGNED]
        assert operation.unassigned_count == counted[operation.id, UNASSIGNED]
        assert operation.assigned_count + operation.unassigned_count > 0
