"""Replays the stored history of an organisation and checks that it is consistent."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.domain import tokens
from service.domain.values import Change
from service.storage.database import Database
from tests.rows import rows

Devices = dict[str, int]
"""A customer's devices, each with the revision that its assignment began with."""


@dataclass
class History:
    """The stored data of an organisation.

    Attributes:
        operations: the rows, by id.
        revisions: what each revision token means: the customer's devices at that moment.
        times: when each revision token's moment began.
        made: the revision token that an operation made, by operation and customer.
        ends: how many times each customer's device was taken from them.
    """

    operations: dict[str, Any] = field(default_factory=dict)
    revisions: dict[str, Devices] = field(default_factory=dict)
    times: dict[str, datetime] = field(default_factory=dict)
    made: dict[tuple[str, str], str] = field(default_factory=dict)
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    customers: dict[str, Any] = field(default_factory=dict)
    replies: int = 0

    def devices(self, token: str) -> list[str]:
        """Lists what the customer had at a revision, in order."""
        return sorted(self.revisions[token])


def replayed(database: Database, organization_id: str) -> History:
    """Replays the history of an organisation from the beginning, and checks every count, row and time."""
    history = History()
    with database.session(write=False) as connection:
        history.operations = {row.id: row for row in rows(connection, organization_id, "operation")}
        history.customers = {row.id: row for row in rows(connection, organization_id, "customer")}
        history.replies = len(rows(connection, organization_id, "reply"))
        revisions = rows(connection, organization_id, "customer_revision", "customer_id", "revision")
        changes = rows(connection, organization_id, "assignment_change")
        current: dict[str, Devices] = {customer_id: {} for customer_id in history.customers}
        for row in rows(connection, organization_id, "assignment"):
            current[row.customer_id][row.device_identifier] = row.assigned_revision

    by_revision: dict[tuple[str, int], list[Any]] = {}
    for change in changes:
        by_revision.setdefault((change.customer_id, change.revision), []).append(change)
        if change.change == Change.UNASSIGNED.value:
            history.ends[change.customer_id, change.device_identifier] += 1
    counted: dict[str, Counter[int]] = {operation_id: Counter() for operation_id in history.operations}
    states: dict[str, Devices] = {customer_id: {} for customer_id in history.customers}
    for customer_id in history.customers:
        history.revisions[tokens.revision_token(customer_id, 0)] = {}
    for row in revisions:
        changed = by_revision.pop((row.customer_id, row.revision), [])
        assert changed, f"revision {row.revision} of {row.customer_id} changed nothing"
        states[row.customer_id] = _after(states[row.customer_id], changed)
        _note(history, row, states[row.customer_id])
        counted[row.operation_id].update(change.change for change in changed)
    assert not by_revision, f"changes of no revision: {list(by_revision)}"
    for operation_id, count in counted.items():
        found = history.operations[operation_id]
        told = (found.assigned_count, found.unassigned_count)
        assert told == (count[Change.ASSIGNED.value], count[Change.UNASSIGNED.value])
        assert sum(told), f"{operation_id} changed nothing"
    for customer_id, row in history.customers.items():
        assert states[customer_id] == current[customer_id], "the history does not lead to the assignments"
        assert row.device_count == len(current[customer_id])
        at = tokens.revision_token(customer_id, row.revision)
        assert history.revisions[at] == current[customer_id]
        assert tokens.revision_token(customer_id, row.revision + 1) not in history.revisions
        assert at not in history.times or history.times[at] == row.changed_at
    return history


def _after(before: Devices, changes: list[Any]) -> Devices:
    after = dict(before)
    for change in changes:
        if change.change == Change.ASSIGNED.value:
            assert change.device_identifier not in before, "assigned twice"
            assert change.assigned_revision == change.revision
            after[change.device_identifier] = change.revision
        else:
            assert before.get(change.device_identifier) == change.assigned_revision, "ended what was not there"
            del after[change.device_identifier]
    return after


def _note(history: History, row: Any, devices: Devices) -> None:
    """Adds a revision, which must follow the last one, be later, and belong to an operation of the same time."""
    token = tokens.revision_token(row.customer_id, row.revision)
    before = tokens.revision_token(row.customer_id, row.revision - 1)
    assert before in history.revisions, f"there is no revision before {token}"
    assert before not in history.times or history.times[before] < row.occurred_at
    assert row.device_count == len(devices)
    assert history.operations[row.operation_id].occurred_at == row.occurred_at
    history.revisions[token] = devices
    history.times[token] = row.occurred_at
    history.made[row.operation_id, row.customer_id] = token
