"""What each rpc's answer and each refusal must be, as rules of the states before and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.torture.checker import addresses, writes
from tests.torture.checker.history import Attempt, Call, State, revision, unique
from tests.torture.checker.writes import GROUP_PLACE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.torture.checker.answers import Read
    from tests.torture.checker.customers import Rule

Answer = dict[str, Any]


def may_create_customers(call: Call) -> list[str]:
    """The addresses that a call creates a customer at, if there is none."""
    request = call.request
    if request.get("require_existing_customer") or request.get("telemetron_customer_id"):
        return []
    match call.rpc:
        case "AssignDevices":
            return [request["customer_email"]]
        case "AssignDevice":
            return unique(request["customer_emails"])
        case "TransferDevices":
            return [request["to_customer_email"]]
        case "CreateOrUpdateCustomer":
            return [request["email"]]
    return []


def _save_customer(found: Read, call: Call, answer: Answer) -> None:
    customer_id, email = answer["telemetron_customer_id"], call.request["email"]
    if customer_id not in found.replay.states:
        found.wrong(call, f"the organisation has no customer {customer_id!r}")
    elif not call.request.get("telemetron_customer_id"):
        found.holder(call, email, customer_id, was_created=True)
    elif customer_id != call.request["telemetron_customer_id"]:
        found.wrong(call, "it names another customer than it was asked to update")
    else:
        found.move(call, customer_id, email)


def _save_device(found: Read, call: Call, answer: Answer) -> None:
    found.devices(call, [answer["identifier"]])
    if found.replay.devices.get(answer["identifier"], {}).get("id") != answer["device_id"]:
        found.wrong(call, "the device has another id in the database")


def _list(found: Read, call: Call, answer: Answer) -> None:
    customer_id, number = revision(answer["revision"])
    found.holder(call, call.request["customer_email"], customer_id)
    if customer_id not in found.replay.states:
        found.wrong(call, f"the organisation has no customer {customer_id!r}")
        return
    if "at" in call.request:
        found.past.append(call)
        return
    listed = [device["device_identifier"] for device in answer.get("devices", [])]

    def rule(_before: State, state: State, _number: int) -> str:
        if listed != sorted(state) or answer.get("total_count", 0) != len(state):
            return f"the customer had {sorted(state)}"
        return ""

    found.saw(call, customer_id, number, rule)


def _lookup(found: Read, call: Call, answer: Answer) -> None:
    results = answer["results"]
    asked = unique(call.request["device_identifiers"])
    if [result["device_identifier"] for result in results] != asked:
        found.wrong(call, "it names other devices than were asked for")
    if "at" in call.request:
        found.past.append(call)
        return
    known = [result["device_identifier"] for result in results if result.get("found")]
    found.devices(call, known, [device for device in asked if device not in known])
    owned: dict[str, set[str]] = {}
    for result in results:
        for owner in result.get("owners", []):
            owned.setdefault(owner["customer_id"], set()).add(result["device_identifier"])
            found.holder(call, owner["email"], owner["customer_id"])
    for customer_id in {*owned, *found.owners_ever(asked)}:
        theirs = owned.get(customer_id, set())

        def rule(_before: State, state: State, _number: int, theirs: set[str] = theirs) -> str:
            return "" if {device for device in asked if device in state} == theirs else f"it had {sorted(state)}"

        found.saw(call, customer_id, None, rule)


ANSWERS: dict[str, Callable[[Read, Call, Answer], None]] = {
    **writes.ANSWERS,
    "CreateOrUpdateCustomer": _save_customer,
    "CreateOrUpdateDevice": _save_device,
    "ListAssignedDevices": _list,
    "LookupOwners": _lookup,
}


def refusal(found: Read, call: Call, attempt: Attempt) -> None:
    """Reads what a refusal says; a refusal that no call here deserves is wrong."""
    reason = attempt.reason.removeprefix("ERROR_REASON_")
    if reason in REFUSALS:
        REFUSALS[reason](found, call, attempt)
    elif reason not in {"CONFLICT", "OVERLOADED"}:  # these say nothing of the data
        found.refused_wrongly(call, attempt)


def _email(call: Call) -> str:
    names = ("customer_email", "from_customer_email", "email")
    return next((call.request[name] for name in names if name in call.request), "")


def _email_taken(found: Read, call: Call, attempt: Attempt) -> None:
    email = _email(call)
    if email in GROUP_PLACE:
        effect = addresses.taken(GROUP_PLACE[email], call.request.get("telemetron_customer_id", ""))
        found.said((call, attempt), email, effect)


def _device_not_found(found: Read, call: Call, attempt: Attempt) -> None:
    found.devices(attempt, [], [call.request["device_identifier"]])


def _operation_not_found(found: Read, call: Call, _attempt: Attempt) -> None:
    if call.request["operation_id"] != "op_unknown":
        found.wrong(call, "the operation that it names was acknowledged before")


def _not_assigned(found: Read, call: Call, attempt: Attempt) -> None:
    device = call.request["device_identifier"]
    _steady(found, call, attempt, lambda _before, state, _number: "it had the device" if device in state else "")


def _count_differs(found: Read, call: Call, attempt: Attempt) -> None:
    count = int(attempt.details["device_count"])
    if count == call.request.get("expected_count", 0):
        found.wrong(call, "the count is what was expected")

    def rule(_before: State, state: State, _number: int) -> str:
        return "" if len(state) == count else f"it had {len(state)}"

    _steady(found, call, attempt, rule)


def _devices_skipped(found: Read, call: Call, attempt: Attempt) -> None:
    devices = call.request["device_identifiers"]
    skipped = [int(where.partition("[")[2].rstrip("]")) for where, _ in attempt.violations]

    def rule(_before: State, state: State, _number: int) -> str:
        expected = [index for index, device in enumerate(devices) if device not in state]
        return "" if skipped == expected else f"it would have skipped {expected}"

    _steady(found, call, attempt, rule)


def _revision_moved(found: Read, call: Call, attempt: Attempt) -> None:
    customer_id, number = revision(call.request.get("expected_revision") or call.request["from_expected_revision"])

    def rule(_before: State, _state: State, seen: int) -> str:
        return "it was at the expected revision" if seen == number else ""

    if found.steady.get(_email(call)) == customer_id:
        _steady(found, call, attempt, rule)


def _steady(found: Read, call: Call, attempt: Attempt, rule: Rule) -> None:
    """Notes what a refusal says of the customer at the call's address, which must be one that is never moved."""
    email = _email(call)
    if email in found.steady:
        found.saw_refused(call, attempt, found.steady[email], rule)
    elif email in GROUP_PLACE:
        found.said((call, attempt), email, addresses.taken(GROUP_PLACE[email]))


def _nobody(found: Read, call: Call, attempt: Attempt) -> None:
    """Notes that nobody held an address, where the refusal can be about no other."""
    email = _email(call)
    emails = unique(call.request.get("customer_emails", []))
    if len(emails) == 1:
        email = emails[0]
    elif emails or (call.rpc == "TransferDevices" and call.request.get("require_existing_customer")):
        return
    if call.request.get("telemetron_customer_id"):
        found.wrong(call, "the customer to update was there before, and customers stay")
    elif email in GROUP_PLACE:
        found.said((call, attempt), email, addresses.free(GROUP_PLACE[email]))


REFUSALS: dict[str, Callable[[Read, Call, Attempt], None]] = {
    "CUSTOMER_NOT_FOUND": _nobody,
    "EMAIL_TAKEN": _email_taken,
    "DEVICE_NOT_FOUND": _device_not_found,
    "OPERATION_NOT_FOUND": _operation_not_found,
    "DEVICE_NOT_ASSIGNED": _not_assigned,
    "COUNT_DIFFERS": _count_differs,
    "DEVICES_SKIPPED": _devices_skipped,
    "REVISION_MOVED": _revision_moved,
}
