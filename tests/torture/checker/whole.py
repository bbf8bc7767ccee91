"""Checks of the whole record: devices that stay, the past that stays, repeats, and the stream."""

from bisect import bisect_right
from datetime import datetime
from math import inf
from typing import Any

from tests.torture.checker.answers import Read
from tests.torture.checker.history import Call, History, State, Violation, revision
from tests.torture.checker.tables import Replay
from tests.torture.dump import microseconds


def check_devices(read: Read) -> list[Violation]:
    """A device that one call has seen is known to every call that begins later, and was created before."""
    found = []
    seen: dict[str, float] = {}
    for device, _, end in read.known:
        seen[device] = min(seen.get(device, inf), end)
        if read.created[device] > end:
            found.append(Violation("device", f"{device} was there before any call can have created it"))
        if device not in read.replay.devices:
            found.append(Violation("device", f"{device} was acknowledged and is lost"))
    for device, start, _ in read.unknown:
        if seen.get(device, inf) < start:
            found.append(Violation("device", f"{device} was unknown to a call that began after it had been seen"))
    return found


def check_past(read: Read) -> list[Violation]:
    """What was answered for a moment of the past is what the rows say of it."""
    found = []
    for call in read.past:
        at = _moment(call.request["at"])
        if any(first <= at <= last for first, last in read.history.unstable):
            continue
        answer: dict[str, Any] = call.answer or {}
        if call.rpc == "ListAssignedDevices":
            customer_id, number = revision(answer["revision"])
            expected = _then(read.replay, customer_id, at)
            listed = [device["device_identifier"] for device in answer.get("devices", [])]
            if number != expected or listed != sorted(read.replay.states[customer_id][expected]):
                found.append(Violation("past", f"{call}: the customer was at revision {expected} at that moment"))
            continue
        owners = {
            result["device_identifier"]: [
                (o["customer_id"], _moment(o["assigned_at"])) for o in result.get("owners", [])
            ]
            for result in answer["results"]
        }
        if owners != _owners(read, list(owners), at):
            found.append(Violation("past", f"{call}: the owners were {_owners(read, list(owners), at)} at that moment"))
    return found


def _moment(text: str) -> int:
    return microseconds(datetime.fromisoformat(text))


def _then(replay: Replay, customer_id: str, at: int) -> int:
    return max(bisect_right(replay.times[customer_id], at) - 1, 0)


def _owners(read: Read, devices: list[str], at: int) -> dict[str, list[tuple[str, int]]]:
    owners: dict[str, list[tuple[str, int]]] = {device: [] for device in devices}
    for customer_id in read.owners_ever(devices):
        state: State = read.replay.states[customer_id][_then(read.replay, customer_id, at)]
        for device in devices:
            if device in state:
                owners[device].append((customer_id, read.replay.times[customer_id][state[device]]))
    for listed in owners.values():
        listed.sort(key=lambda owner: (owner[1], owner[0]))
    return owners


def check_repeats(history: History) -> list[Violation]:
    """All answers to a request id are equal byte for byte, and the database keeps them."""
    found = []
    kept = {row["request_id"]: row["answer"] for row in history.rows.get("reply", [])}
    answered: dict[str, Call] = {}
    for call in history.calls.values():
        if len({attempt.digest for attempt in call.answered}) > 1:
            found.append(Violation("repeat", f"{call}: it had different answers when it was repeated"))
        request_id = call.request.get("request_id", "")
        if not request_id or call.request.get("validate_only"):
            continue
        answered[request_id] = call
        if call.answered and kept.get(request_id) != call.answered[0].digest:
            found.append(Violation("repeat", f"{call}: the database keeps another answer, or none"))
        if not call.answered and not call.unknown and request_id in kept:
            found.append(Violation("repeat", f"{call}: it was refused, and the database keeps an answer"))
    strange = [request_id for request_id in kept if request_id not in answered]
    return [
        *found,
        *(Violation("repeat", f"the answer to {request_id} is kept, which no call had") for request_id in strange),
    ]


def check_stream(history: History, replay: Replay) -> list[Violation]:
    """The stream had every operation once, as it stands in the table, and each customer's in their order."""
    found = []
    places: dict[str, int] = {}
    for told in history.watched:
        operation_id = told["operation_id"]
        if operation_id in places:
            found.append(Violation("stream", f"{operation_id} was told twice"))
        places[operation_id] = len(places)
        row = replay.operations.get(operation_id)
        if row is None:
            found.append(Violation("stream", f"{operation_id} was told, and is not in the table"))
        elif _shown(row, replay) != _told(told):
            found.append(Violation("stream", f"{operation_id} was told as {_told(told)} and is {_shown(row, replay)}"))
    found += [Violation("stream", f"{each} was not told") for each in replay.operations if each not in places]
    by_position = sorted(replay.operations.values(), key=lambda row: row["position"] or inf)
    if [row["id"] for row in by_position if row["id"] in places] != [
        each for each in places if each in replay.operations
    ]:
        found.append(Violation("stream", "the operations were not told in the order of the table"))
    last: dict[str, tuple[int, str]] = {}
    for operation_id in places:
        for customer_id, number in replay.made.get(operation_id, {}).items():
            if number < last.get(customer_id, (0, ""))[0]:
                found.append(Violation("stream", f"{operation_id} was told after a later one of {customer_id}"))
            last[customer_id] = number, operation_id
    return found


def _told(operation: dict[str, Any]) -> tuple[Any, ...]:
    return (
        operation["kind"].removeprefix("OPERATION_KIND_").lower(),
        _moment(operation["occurred_at"]),
        operation.get("note", ""),
        operation.get("assigned_count", 0),
        operation.get("unassigned_count", 0),
        operation.get("customer_ids", []),
        operation.get("reverts_operation_id", ""),
    )


def _shown(row: dict[str, Any], replay: Replay) -> tuple[Any, ...]:
    names = ("kind", "occurred_at", "note", "assigned_count", "unassigned_count")
    return (*(row[name] for name in names), sorted(replay.made.get(row["id"], {})), row["reverts_operation_id"] or "")
