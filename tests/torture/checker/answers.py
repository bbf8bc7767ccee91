"""Reads what each answer and each refusal says: of customers, of addresses and of devices."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from typing import Any

from tests.torture.checker import addresses, rules
from tests.torture.checker.addresses import Effect, Said
from tests.torture.checker.customers import Rule, Seen
from tests.torture.checker.history import Attempt, Call, History, Violation, revision, unique
from tests.torture.checker.tables import Replay
from tests.torture.workload import PAIRS, STEADY

GROUPS: dict[str, tuple[str, ...]] = {
    **{email: (email,) for email in STEADY},
    **{email: pair for pair in PAIRS for email in pair},
}


@dataclass
class Read:
    """What all calls together say.

    Attributes:
        customers: of each customer.
        groups: of each group of addresses.
        known, unknown: of each device, the moments between which it was there, or was not.
        created: of each device, the starts of the calls that may have created it.
        past: calls that asked about a moment that had passed.
    """

    history: History
    replay: Replay
    customers: dict[str, list[Seen]] = field(default_factory=lambda: defaultdict(list))
    by_call: dict[int, list[Seen]] = field(default_factory=lambda: defaultdict(list))
    groups: dict[tuple[str, ...], list[Said]] = field(default_factory=lambda: defaultdict(list))
    known: list[tuple[str, float, float]] = field(default_factory=list)
    unknown: list[tuple[str, float, float]] = field(default_factory=list)
    created: dict[str, float] = field(default_factory=lambda: defaultdict(lambda: inf))
    new_customers: set[str] = field(default_factory=set)
    past: list[Call] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    def wrong(self, call: Call, text: str) -> None:
        """Notes a violation of a call's answer."""
        self.violations.append(Violation("answer", f"{call}: {text}"))

    def saw(self, call: Call, customer_id: str, number: int | None, rule: Rule, *, wrote: bool = False) -> None:
        """Notes what an answer says of a customer."""
        if customer_id not in self.replay.states:
            self.wrong(call, f"the organisation has no customer {customer_id!r}")
            return
        seen = Seen(call.start, call.end, customer_id, number, wrote, rule, call)
        self.customers[customer_id].append(seen)
        if number is not None and number < len(self.replay.states[customer_id]):
            self.by_call[call.number].append(seen)

    def said(self, where: Call | tuple[Call, Attempt], email: str, effect: Effect, *, changes: bool = False) -> None:
        """Notes what an answer, or one attempt's refusal, says of an address."""
        call, span = where if isinstance(where, tuple) else (where, where)
        if email in GROUPS:
            self.groups[GROUPS[email]].append(Said(span.start, span.end, effect, changes, call))

    def holder(self, call: Call, email: str, customer_id: str, *, was_created: bool = False) -> None:
        """Notes who had an address, or was created with it."""
        if email not in GROUPS:
            return
        place = GROUPS[email].index(email)
        if not was_created:
            self.said(call, email, addresses.held_by(place, customer_id))
            return
        if customer_id in self.new_customers:
            self.wrong(call, f"{customer_id} was created before")
        self.new_customers.add(customer_id)
        self.said(call, email, addresses.created(place, customer_id), changes=True)

    def move(self, call: Call, customer_id: str, email: str) -> None:
        """Notes that a customer got, or may have got, an address inside or outside of a pair."""
        for group in PAIRS:
            if email in group or email not in GROUPS:
                effect = addresses.moved(group.index(email) if email in group else None, customer_id)
                self.groups[group].append(Said(call.start, call.end, effect, changes=True, what=call))

    def saw_refused(self, call: Call, attempt: Attempt, customer_id: str, rule: Rule) -> None:
        """Notes what a refusal says of a customer."""
        self.customers[customer_id].append(
            Seen(attempt.start, attempt.end, customer_id, None, wrote=False, rule=rule, what=call)
        )

    def refused_wrongly(self, call: Call, attempt: Attempt) -> None:
        """Notes a refusal that no call here deserves."""
        self.violations.append(Violation("status", f"{call} ended in {attempt.status}: {attempt.reason}"))

    def device_id(self, call: Call, device: dict[str, Any]) -> None:
        """Checks a device's id."""
        if self.replay.devices.get(device["identifier"], {}).get("id") != device["device_id"]:
            self.wrong(call, f"{device['identifier']} has another id in the database")

    @cached_property
    def steady(self) -> dict[str, str]:
        """The customers at the addresses that nobody is moved to or from."""
        return {row["email"]: row["id"] for row in self.history.rows.get("customer", []) if row["email"] in STEADY}

    @cached_property
    def _touched(self) -> dict[str, set[str]]:
        touched: dict[str, set[str]] = defaultdict(set)
        for changes in self.replay.changes.values():
            for customer_id, device, _ in changes:
                touched[device].add(customer_id)
        return touched

    def owners_ever(self, devices: Iterable[str]) -> set[str]:
        """Finds every customer who has ever had one of these devices."""
        return {customer_id for device in devices for customer_id in self._touched.get(device, ())}

    def changed(self, customer_id: str, after: int, before: int) -> set[str]:
        """Finds the devices that were assigned to a customer, or not any more, between two revisions."""
        states = self.replay.states[customer_id]
        devices: set[str] = set()
        for number in range(after + 1, before):
            devices |= {device for device, _ in states[number].items() ^ states[number - 1].items()}
        return devices

    def operation(self, call: Call, claimed: str) -> dict[str, int]:
        """Finds the revisions that an answer's operation made. They must be there if the answer names an operation."""
        made = self.replay.by_call.get(call.number, [])
        if claimed and claimed not in self.replay.operations:
            self.wrong(call, "its operation is lost: the database does not have it")
        elif made != ([claimed] if claimed else []):
            self.wrong(call, f"it names the operation {claimed!r}, but the database has {made} of this call")
        return self.replay.made.get(claimed, {}) if claimed else {}

    def devices(self, span: Call | Attempt, known: Iterable[str], unknown: Iterable[str] = ()) -> None:
        """Notes which devices there were."""
        self.known += [(device, span.start, span.end) for device in known]
        self.unknown += [(device, span.start, span.end) for device in unknown]


def read(history: History, replay: Replay) -> Read:
    """Reads all calls of an organisation."""
    found = Read(history, replay)
    for call in history.calls.values():
        _may_create(found, call)
        for attempt in call.refused:
            with _readable(found, call):
                rules.refusal(found, call, attempt)
        for attempt in call.attempts:
            if attempt.status in {"INTERNAL", "UNKNOWN"}:
                found.violations.append(Violation("status", f"{call} ended in {attempt.status}: {attempt.reason}"))
        if call.answered:
            with _readable(found, call):
                rules.ANSWERS[call.rpc](found, call, call.answer or {})
        elif call.unknown:
            _unanswered(found, call)
        elif made := replay.by_call.get(call.number):
            found.wrong(call, f"it was refused, and yet it made the operation {made[0]}")
    for made in replay.by_call.values():
        if len(made) > 1:
            call = history.calls[int(replay.operations[made[0]]["note"].split()[1])]
            found.wrong(call, f"it was done {len(made)} times, as the operations {made}")
    _without_creator(found)
    return found


@contextmanager
def _readable(found: Read, call: Call) -> Iterator[None]:
    """Notes an answer that lacks what every answer of its kind has, or has something else in its place."""
    try:
        yield
    except (KeyError, ValueError) as error:
        found.wrong(call, f"it cannot be understood: {error!r}")


def _may_create(found: Read, call: Call) -> None:
    """Notes from when on a call may have created its devices."""
    request, start = call.request, call.start
    devices: list[str] = []
    if request.get("auto_create_devices") or request.get("auto_create_device") or call.rpc == "CreateOrUpdateDevice":
        one: str = request.get("device_identifier") or request.get("identifier") or ""
        devices = request.get("device_identifiers") or [one]
    for device in devices:
        found.created[device] = min(found.created[device], start)


def _unanswered(found: Read, call: Call) -> None:
    """Takes the operation of a call without an answer, if it made one, as done at an unknown time."""
    for operation_id in found.replay.by_call.get(call.number, []):
        for customer_id, number in found.replay.made.get(operation_id, {}).items():
            found.saw(call, customer_id, number, lambda _before, _after, _number: "", wrote=True)
    request = call.request
    if request.get("telemetron_customer_id"):
        found.move(call, request["telemetron_customer_id"], request["email"])


def _without_creator(found: Read) -> None:
    """Finds the customers that only calls without an answer can have created."""
    starts: dict[str, tuple[float, Call]] = {}
    for call in found.history.calls.values():
        if call.unknown and not call.request.get("telemetron_customer_id"):
            for email in rules.may_create_customers(call):
                if call.start < starts.get(email, (inf, call))[0]:
                    starts[email] = call.start, call
    for row in found.history.rows.get("customer", []):
        email = f"{row['name']}@example.com"  # a customer is named for the address that they were created with
        if row["id"] in found.new_customers or email not in GROUPS:
            continue
        if email not in starts:
            text = f"no call can have created the customer {row['id']} at {email}"
            found.violations.append(Violation("address", text))
            continue
        start, call = starts[email]
        group = GROUPS[email]
        effect = addresses.created(group.index(email), row["id"])
        found.groups[group].append(Said(start, inf, effect, changes=True, what=call))


__all__ = ["Read", "read", "revision", "unique"]
