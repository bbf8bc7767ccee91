"""What must be true of the tables after any history, and a picture of them to compare."""

from collections import Counter, defaultdict
from typing import Any

from service.storage.database import Database
from tests import rows as stored
from tests.conftest import Tenant

ASSIGNED, UNASSIGNED = 1, 2


def rows(database: Database, tenant: Tenant, name: str, *order: str) -> list[Any]:
    """Reads an organisation's rows of a table. See `tests.rows.rows`."""
    with database.session(write=False) as connection:
        return list(stored.rows(connection, tenant.id, name, *order))


def picture(database: Database, tenant: Tenant) -> dict[str, list[Any]]:
    """Reads every row of an organisation but its keys, whose last use is noted at any time."""
    return {name: sorted(map(tuple, rows(database, tenant, name)), key=repr) for name in stored.NAMES}


def check(database: Database, tenant: Tenant) -> None:
    """Compares the tables of an organisation with each other."""

    def mine(name: str, *order: str) -> list[Any]:
        return rows(database, tenant, name, *order)

    changes = mine("assignment_change", "customer_id", "revision", "device_identifier")
    made = {(row.customer_id, row.revision): row for row in mine("customer_revision")}
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

    for customer in mine("customer"):
        revisions = sorted(revision for customer_id, revision in made if customer_id == customer.id)
        assert revisions == list(range(1, customer.revision + 1))
        assert customer.device_count == len(held[customer.id])
    standing = {(row.customer_id, row.device_identifier): row.assigned_revision for row in mine("assignment")}
    assert standing == {(c, d): revision for c, devices in held.items() for d, revision in devices.items()}

    operations = mine("operation")
    assert {row.operation_id for row in made.values()} == {row.id for row in operations}
    for operation in operations:
        assert operation.assigned_count == counted[operation.id, ASSIGNED]
        assert operation.unassigned_count == counted[operation.id, UNASSIGNED]
        assert operation.assigned_count + operation.unassigned_count > 0
