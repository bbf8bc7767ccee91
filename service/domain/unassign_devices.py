"""Ends the assignments of a batch of devices to one customer (CONTRACT.md, "UnassignDevices, exactly")."""

from dataclasses import dataclass
from enum import IntEnum

from service.domain import answer_size, tokens
from service.domain.email import Email
from service.domain.errors import CustomerNotFound, DeviceNotAssigned, DevicesSkipped, Violation
from service.domain.identifiers import divided, gathered, unique
from service.domain.ids import new_id
from service.domain.options import Options
from service.domain.replay import Request
from service.domain.values import Customer, Ended, Operation
from service.storage.unit_of_work import UnitOfWork


class SkipReason(IntEnum):
    """Why a device was skipped."""

    NOT_ASSIGNED = 1
    UNKNOWN_DEVICE = 2


class RemainingView(IntEnum):
    """How much of the remaining list the caller wants."""

    FULL = 1
    COUNT = 2
    NONE = 3


@dataclass(frozen=True, slots=True)
class UnassignDevices:
    """A validated wish. The identifiers are well formed and in the order of the request, repetitions included."""

    customer: Email
    identifiers: list[str]
    options: Options
    require_all: bool = False
    remaining_view: RemainingView = RemainingView.FULL
    max_answer_bytes: int = 4 * 1024 * 1024
    method: str = "UnassignDevices"

    def request(self) -> Request:
        """Tells what the request id stands for."""
        content = (self.customer.key, unique(self.identifiers), self.require_all, self.remaining_view)
        return self.options.request(self.method, *content)


@dataclass(frozen=True, slots=True)
class Remaining:
    """What the customer still has: the list, as much as was wanted and fits, the count, and a token for the rest."""

    identifiers: list[str]
    count: int
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Unassigned:
    """What became of it. `skip_reasons[i]` says why `skipped[i]`."""

    customer_id: str
    unassigned: list[str]
    skipped: list[str]
    skip_reasons: list[SkipReason]
    remaining: Remaining
    operation_id: str
    revision: str


def unassign_devices(uow: UnitOfWork, wish: UnassignDevices) -> Unassigned:
    """Ends what the customer has of the wished devices, skips the rest, and tells what is left.

    Raises:
        CustomerNotFound: the organisation has no such customer.
        RevisionMoved: `expected_revision` differs.
        DevicesSkipped: `require_all` is set and a device would be skipped.
    """
    validate_only = wish.options.validate_only
    wanted = unique(wish.identifiers)
    # A preview looks where the real call ends; `require_all` may have to refuse, which costs least before any change.
    look_first = validate_only or wish.require_all
    ended = None
    # A refusal may find that a twin of this call has answered, and is no refusal then: so nothing may be refused behind
    # a change. Where nothing can be, all is done at once.
    if look_first or wish.options.expected_revision:
        customer = uow.customers.lock(wish.customer)
    else:
        full = wish.remaining_view is RemainingView.FULL
        ended = uow.assignments.lock_and_unassign(wish.customer, wanted, answer_size.FIRST_READ if full else 0)
        customer = ended.customer if ended else None
    if customer is None:
        raise CustomerNotFound
    wish.options.guard(customer)
    if ended is None:
        touch = uow.assignments.which_are_assigned if look_first else uow.assignments.end
        touched = touch(customer, wanted)
    else:
        touched = ended.identifiers
    unassigned, skipped = divided(wanted, touched)
    reasons = skip_reasons(uow, skipped)
    if wish.require_all and skipped:
        raise refusal(wish.identifiers, dict(zip(skipped, reasons, strict=True)))
    if wish.require_all and not validate_only and unassigned:
        uow.assignments.end(customer, unassigned)

    changes = bool(unassigned) and not validate_only
    after = customer.revision + changes
    lists = answer_size.size_of(unassigned) + answer_size.size_of(skipped)
    remaining = _remaining(uow, customer, wish, unassigned, first=ended, lists_bytes=lists, revision=after)
    operation_id = new_id("op") if changes else ""
    if changes:
        deltas = {customer.id: -len(unassigned)}
        uow.operations.record(
            Operation(
                operation_id,
                "unassign",
                wish.options.key_id,
                wish.options.note,
                deltas,
                unassigned_count=len(unassigned),
            )
        )
    revision = tokens.revision_token(customer.id, after)
    return Unassigned(customer.id, unassigned, skipped, reasons, remaining, operation_id, revision)


def _remaining(
    uow: UnitOfWork,
    customer: Customer,
    wish: UnassignDevices,
    unassigned: list[str],
    *,
    first: Ended | None,
    lists_bytes: int,
    revision: int,
) -> Remaining:
    count = customer.device_count - len(unassigned)
    match wish.remaining_view:
        case RemainingView.NONE:
            return Remaining([], 0, "")
        case RemainingView.COUNT:
            return Remaining([], count, "")
        case RemainingView.FULL:
            fitted = answer_size.fit(
                # The first part may be there already.
                lambda after, limit: (
                    first.left if first and not after else uow.assignments.current(customer, after, limit)
                ),
                max_bytes=wish.max_answer_bytes,
                taken=lists_bytes,
                without=gathered(unassigned) if wish.options.validate_only else set(),
            )
    token = ""
    if not fitted.complete and not wish.options.validate_only:
        last = fitted.identifiers[-1] if fitted.identifiers else ""
        token = tokens.next_page(customer, revision, last)
    return Remaining(fitted.identifiers, count, token)


def refusal(identifiers: list[str], reasons: dict[str, SkipReason]) -> DevicesSkipped:
    """Words the refusal of a call that must not skip: the places in the request, and why each would be skipped."""
    violations = [
        Violation(f"device_identifiers[{index}]", f"SKIP_REASON_{reasons[identifier].name}")
        for index, identifier in enumerate(identifiers)
        if identifier in reasons
    ]
    return DevicesSkipped(violations)


def skip_reasons(uow: UnitOfWork, skipped: list[str]) -> list[SkipReason]:
    """Tells, for each device that a customer does not have, whether it exists at all."""
    known = uow.devices.known(skipped) if skipped else {}
    return [SkipReason.NOT_ASSIGNED if identifier in known else SkipReason.UNKNOWN_DEVICE for identifier in skipped]


def unassign_device(uow: UnitOfWork, wish: UnassignDevices) -> Unassigned:
    """Ends one assignment, that of the only device wished.

    Raises:
        DeviceNotAssigned: the customer does not have the device, known or not; and as `unassign_devices` does.
    """
    result = unassign_devices(uow, wish)
    if result.skipped:
        raise DeviceNotAssigned
    return result
