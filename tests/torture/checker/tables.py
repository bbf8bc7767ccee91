"""Replays the rows: each customer's states from the first revision to the last, with no gap and no overlap."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.torture.checker.history import History, State, Violation

BEGAN, ENDED = 1, 2


@dataclass
class Replay:
    """What the rows say.

    Attributes:
        states: of each customer, by revision.
        times: of each customer's revisions, in microseconds; revision 0 has none and stands at 0.
        operations: the rows, by id.
        made: the revision that each operation made, by customer.
        changes: what each operation did, as customer, device and change.
        by_call: the operations of each call, by its number.
        devices: the rows, by identifier.
        violations: where the rows do not agree with each other.
    """

    states: dict[str, list[State]] = field(default_factory=dict)
    times: dict[str, list[int]] = field(default_factory=dict)
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)
    made: dict[str, dict[str, int]] = field(default_factory=dict)
    changes: dict[str, set[tuple[str, str, int]]] = field(default_factory=dict)
    by_call: dict[int, list[str]] = field(default_factory=dict)
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    def wrong(self, text: str) -> None:
        """Notes a violation."""
        self.violations.append(Violation("rows", text))


def replay(history: History) -> Replay:
    """Replays an organisation's rows."""
    rows, found = history.rows, Replay()
    customers = {row["id"]: row for row in rows.get("customer", [])}
    found.devices = {row["identifier"]: row for row in rows.get("device", [])}
    found.operations = {row["id"]: row for row in rows.get("operation", [])}
    for operation_id, row in found.operations.items():
        kind, _, number = row["note"].partition(" ")
        if kind != "command" or not number.isdigit() or int(number) not in history.calls:
            found.wrong(f"operation {operation_id} was made by no call: its note is {row['note']!r}")
        else:
            found.by_call.setdefault(int(number), []).append(operation_id)
    by_revision: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for change in rows.get("assignment_change", []):
        by_revision.setdefault((change["customer_id"], change["revision"]), []).append(change)
    for customer_id in customers:
        found.states[customer_id], found.times[customer_id] = [{}], [0]
    ordered = sorted(rows.get("customer_revision", []), key=lambda row: (row["customer_id"], row["revision"]))
    for row in ordered:
        _step(found, row, by_revision.pop((row["customer_id"], row["revision"]), []))
    for customer_id, revision in by_revision:
        found.wrong(f"{customer_id} has changes under revision {revision}, which no operation made")
    _compare_ends(found, rows, customers)
    _compare_counts(found)
    return found


def _step(found: Replay, row: dict[str, Any], changes: list[dict[str, Any]]) -> None:
    customer_id, revision, operation_id = row["customer_id"], row["revision"], row["operation_id"]
    states, times = found.states.get(customer_id), found.times.get(customer_id)
    if states is None or times is None:
        found.wrong(f"revision {revision} of {customer_id}, who is no customer")
        return
    where = f"revision {revision} of {customer_id}"
    if revision != len(states):
        found.wrong(f"{where} follows revision {len(states) - 1}")
    if not changes:
        found.wrong(f"{where} changed nothing")
    state = dict(states[-1])
    for change in changes:
        _apply(found, state, change, where)
        found.changes.setdefault(operation_id, set()).add((customer_id, change["device_identifier"], change["change"]))
    operation = found.operations.get(operation_id)
    if operation is None:
        found.wrong(f"{where} was made by operation {operation_id}, which is not there")
    elif operation["occurred_at"] != row["occurred_at"]:
        found.wrong(f"{where} has another time than its operation")
    if row["occurred_at"] <= times[-1]:
        found.wrong(f"{where} is not later than the one before")
    if row["device_count"] != len(state):
        found.wrong(f"{where} counts {row['device_count']} devices where there are {len(state)}")
    found.made.setdefault(operation_id, {})[customer_id] = len(states)
    states.append(state)
    times.append(row["occurred_at"])


def _apply(found: Replay, state: State, change: dict[str, Any], where: str) -> None:
    device, began = change["device_identifier"], change["assigned_revision"]
    if change["change"] == BEGAN:
        if device in state:
            found.wrong(f"{where} assigns {device}, which is assigned already: two spans overlap")
        if began != change["revision"]:
            found.wrong(f"{where} assigns {device} under another revision")
        state[device] = began
    else:
        if state.get(device) != began:
            found.wrong(f"{where} ends an assignment of {device} that began with revision {began}, but there is none")
        state.pop(device, None)


def _compare_ends(found: Replay, rows: dict[str, list[dict[str, Any]]], customers: dict[str, Any]) -> None:
    current: dict[str, State] = {customer_id: {} for customer_id in customers}
    for row in rows.get("assignment", []):
        current.setdefault(row["customer_id"], {})[row["device_identifier"]] = row["assigned_revision"]
    for customer_id, row in customers.items():
        states, times = found.states[customer_id], found.times[customer_id]
        if current[customer_id] != states[-1]:
            found.wrong(f"{customer_id} has {current[customer_id]}, but the operations lead to {states[-1]}")
        if row["revision"] != len(states) - 1:
            found.wrong(f"{customer_id} is at revision {row['revision']}, but the last one made is {len(states) - 1}")
        if row["device_count"] != len(current[customer_id]):
            found.wrong(f"{customer_id} counts {row['device_count']} devices and has {len(current[customer_id])}")
        if len(times) > 1 and row["changed_at"] != times[-1]:
            found.wrong(f"{customer_id} was changed at another time than the last revision's")


def _compare_counts(found: Replay) -> None:
    for operation_id, row in found.operations.items():
        counted = Counter(change for _, _, change in found.changes.get(operation_id, ()))
        if not counted:
            found.wrong(f"operation {operation_id} changed nothing")
        if (row["assigned_count"], row["unassigned_count"]) != (counted[BEGAN], counted[ENDED]):
            found.wrong(f"operation {operation_id} counts other changes than it made")
