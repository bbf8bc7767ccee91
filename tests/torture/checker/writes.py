"""What the answer to each change of assignments must be, given the states before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.torture.checker.history import Call, State, revision, unique
from tests.torture.checker.tables import BEGAN, ENDED
from tests.torture.workload import PAIRS, STEADY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.torture.checker.answers import Read

Answer = dict[str, Any]

GROUP_PLACE = {**dict.fromkeys(STEADY, 0), **{email: place for pair in PAIRS for place, email in enumerate(pair)}}
"""The place of each address in its group."""


def _identifiers(listed: list[dict[str, Any]]) -> list[str]:
    return [device["identifier"] for device in listed]


def _unassign(found: Read, call: Call, answer: Answer) -> None:
    wanted = unique(call.request["device_identifiers"])
    ended, skipped = answer.get("unassigned_devices", []), answer.get("skipped", [])
    unknown = [
        device
        for device, reason in zip(skipped, answer.get("skip_reasons", []), strict=True)
        if reason == "SKIP_REASON_UNKNOWN_DEVICE"
    ]
    found.devices(call, [device for device in wanted if device not in unknown], unknown)
    _ended(found, call, answer, ended, skipped=skipped, wanted=wanted)


def _unassign_one(found: Read, call: Call, answer: Answer) -> None:
    wanted = [call.request["device_identifier"]]
    found.devices(call, wanted)
    _ended(found, call, answer, wanted, skipped=[], wanted=wanted)


def _ended(found: Read, call: Call, answer: Answer, ended: list[str], *, skipped: list[str], wanted: list[str]) -> None:
    customer_id, number = revision(answer["revision"])
    found.holder(call, call.request["customer_email"], customer_id)
    preview = bool(call.request.get("validate_only"))
    wrote = bool(answer.get("operation_id"))
    made = found.operation(call, answer.get("operation_id", ""))
    if (bool(ended) and not preview) != wrote:
        found.wrong(call, "it has ended assignments without an operation, or made an operation without ending any")
    if wrote and made != {customer_id: number}:
        found.wrong(call, f"its operation made {made}")

    def rule(before: State, after: State, _number: int) -> str:
        expected = [device for device in wanted if device in before]
        if ended != expected or skipped != [device for device in wanted if device not in before]:
            return f"the customer had {sorted(before)}"
        left = sorted(set(before) - set(ended))
        if answer.get("devices_remaining", []) != left or answer.get("remaining_count", 0) != len(left):
            return f"{left} remained"
        return "" if preview or sorted(after) == left else f"the database says that {sorted(after)} remained"

    found.saw(call, customer_id, number, rule, wrote=wrote)


def _assign_devices(found: Read, call: Call, answer: Answer) -> None:
    email, wanted = call.request["customer_email"], unique(call.request["device_identifiers"])
    assigned, already = answer.get("assigned_devices", []), answer.get("already_assigned", [])
    begun, skipped = _identifiers(assigned), answer.get("skipped", [])
    created = bool(answer.get("customer_was_created"))
    found.devices(call, _identifiers([*assigned, *already]), skipped)
    for device in (*assigned, *already):
        found.device_id(call, device)
    made = found.operation(call, answer.get("operation_id", ""))
    if bool(begun) != bool(made):
        found.wrong(call, "it has assigned devices without an operation, or made an operation without assigning any")
    if not answer.get("customer_id") or not answer.get("revision"):
        found.wrong(call, "it names no customer")
        return
    customer_id, number = revision(answer["revision"])
    if customer_id != answer["customer_id"] or (made and made != {customer_id: number}):
        found.wrong(call, f"it names {customer_id} and its operation made {made}")
    found.holder(call, email, customer_id, was_created=created)

    def rule(before: State, after: State, at: int) -> str:
        there = [device for device in wanted if device not in skipped]
        if begun != [device for device in there if device not in before]:
            return f"the customer had {sorted(before)}"
        if _identifiers(already) != [device for device in there if device in before]:
            return f"the customer had {sorted(before)} already"
        if answer.get("device_count", 0) != len(after) or set(after) != {*before, *begun}:
            return f"the customer has {sorted(after)} after it"
        return "the customer is not new" if created and at != bool(made) else ""

    found.saw(call, customer_id, number, rule, wrote=bool(made))


def _assign_device(found: Read, call: Call, answer: Answer) -> None:
    device = call.request["device_identifier"]
    named, already = answer.get("assigned_customers", []), answer.get("already_assigned", [])
    found.devices(call, [device])
    found.device_id(call, {"identifier": device, "device_id": answer["device_id"]})
    if [item["email"] for item in named] != unique(call.request["customer_emails"]):
        found.wrong(call, "it names other customers than it was asked for")
    had = {item.get("customer_id", "") for item in already}
    begun = {item.get("customer_id", "") for item in named} - had
    made = found.operation(call, answer.get("operation_id", ""))
    if set(made) != begun:
        found.wrong(call, f"it has assigned to {sorted(begun)}, and its operation changed {sorted(made)}")
    for item in named:
        customer_id = item.get("customer_id", "")
        created = bool(item.get("was_created"))
        found.holder(call, item["email"], customer_id, was_created=created)
        if customer_id in had:
            found.saw(call, customer_id, None, lambda _b, state, _n: "" if device in state else "it had it not")
        elif customer_id in made:

            def rule(before: State, after: State, at: int, *, created: bool = created) -> str:
                if device in before or set(after) != {*before, device}:
                    return f"the customer had {sorted(before)} and has {sorted(after)}"
                return "the customer is not new" if created and at != 1 else ""

            found.saw(call, customer_id, made[customer_id], rule, wrote=True)


def _transfer(found: Read, call: Call, answer: Answer) -> None:
    wanted = unique(call.request["device_identifiers"])
    moved, skipped = answer.get("transferred_devices", []), answer.get("skipped", [])
    (source, source_at), (target, target_at) = revision(answer["from_revision"]), revision(answer["to_revision"])
    created = bool(answer.get("to_customer_was_created"))
    found.holder(call, call.request["from_customer_email"], source)
    found.holder(call, call.request["to_customer_email"], target, was_created=created)
    made = found.operation(call, answer.get("operation_id", ""))
    if (
        bool(made) != bool(moved)
        or (made and made.get(source) != source_at)
        or made.get(target, target_at) != target_at
    ):
        found.wrong(call, f"its operation made {made}")

    def gave(before: State, after: State, _number: int) -> str:
        if moved != [device for device in wanted if device in before]:
            return f"the first customer had {sorted(before)}"
        if skipped != [device for device in wanted if device not in before]:
            return f"the first customer had {sorted(before)}"
        if answer.get("from_device_count", 0) != len(after) or set(after) != set(before) - set(moved):
            return f"the first customer has {sorted(after)} after it"
        return ""

    def got(before: State, after: State, _number: int) -> str:
        if answer.get("to_device_count", 0) != len(after) or set(after) != {*before, *moved}:
            return f"the second customer had {sorted(before)} and has {sorted(after)}"
        return ""

    found.saw(call, source, source_at, gave, wrote=bool(made))
    found.saw(call, target, target_at, got, wrote=target in made)


def _unassign_all(found: Read, call: Call, answer: Answer) -> None:
    customer_id, number = revision(answer["revision"])
    found.holder(call, call.request["customer_email"], customer_id)
    expected, ended = call.request.get("expected_count", 0), answer.get("unassigned_count", 0)
    made = found.operation(call, answer.get("operation_id", ""))
    if expected != ended or bool(made) != bool(ended) or (made and made != {customer_id: number}):
        found.wrong(call, f"it has ended {ended} of {expected}, and its operation made {made}")

    def rule(before: State, after: State, _number: int) -> str:
        return "" if len(before) == ended and not after else f"the customer had {sorted(before)}, has {sorted(after)}"

    found.saw(call, customer_id, number, rule, wrote=bool(made))


def _revert(found: Read, call: Call, answer: Answer) -> None:
    target = call.request["operation_id"]
    done = found.replay.changes.get(target)
    made = found.operation(call, answer.get("operation_id", ""))
    if done is None:
        found.wrong(call, "it has reverted an operation that is not in the database")
        return
    left = {item["device_identifier"] for item in answer.get("not_reverted_devices", [])}
    undone = {device for _, device, _ in done} - left
    expected = {(c, d, BEGAN if change == ENDED else ENDED) for c, d, change in done if d in undone}
    operation_id = answer.get("operation_id", "")
    if found.replay.changes.get(operation_id, set()) != expected:
        found.wrong(call, f"it should have done {sorted(expected)}")
    if (answer.get("reverted_count", 0), answer.get("not_reverted_count", 0)) != (len(undone), len(left)):
        found.wrong(call, f"it should have counted {len(undone)} and {len(left)}")
    for customer_id, number in made.items():
        since = found.replay.made[target].get(customer_id)

        def rule(before: State, after: State, at: int, customer: str = customer_id, since: int | None = since) -> str:
            ours = {device for c, device, _ in expected if c == customer}
            between = found.changed(customer, since or 0, at)
            if since is not None and ours & between:
                return f"{sorted(ours & between)} had changed since"
            return "" if set(before) ^ set(after) == ours else f"the customer had {sorted(before)}, has {sorted(after)}"

        found.saw(call, customer_id, number, rule, wrote=True)


ANSWERS: dict[str, Callable[[Read, Call, Answer], None]] = {
    "UnassignDevices": _unassign,
    "UnassignDevice": _unassign_one,
    "AssignDevices": _assign_devices,
    "AssignDevice": _assign_device,
    "TransferDevices": _transfer,
    "UnassignAllDevices": _unassign_all,
    "RevertOperation": _revert,
}
