"""Ends the assignments of a batch of devices, or of one device, to one customer."""

from dataclasses import dataclass
from enum import IntEnum

from service.domain import answer_size, tokens
from service.domain.email import Email
from service.domain.errors import CustomerNotFound, DeviceNotAssigned
from service.domain.identifiers import divided, gathered, unique
from service.domain.ids import new_id
from service.domain.options import Options
from service.domain.replay import Request
from service.domain.skipped_devices import SkipReason, refusal, skip_reasons
from service.domain.values import Customer, Ended, Operation
from service.storage.unit_of_work import UnitOfWork


class RemainingView(IntEnum):
    """How much of the remaining list the answer has."""

    FULL = 1
    COUNT = 2
    NONE = 3


@dataclass(frozen=True, slots=True)
class UnassignDevices:
    """The command, validated. The identifiers are well formed and in the order of the request, repetitions included."""

    customer: Email
    identifiers: list[str]
    options: Options
    require_all: bool = False
    remaining_view: RemainingView = RemainingView.FULL
    max_answer_bytes: int = 4 * 1024 * 1024
    method: str = "UnassignDevices"

    def request(self) -> Request:
        """Returns what the request id stands for."""
        content = (self.customer.key, unique(self.identifiers), self.require_all, self.remaining_view)
        return self.options.request(self.method, *content)


@dataclass(frozen=True, slots=True)
class Remaining:
    """The devices that the customer still has: as much of the list as fits, their number, and a token for the rest."""

    identifiers: list[str]
    count: int
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Unassigned:
    """The result. `skip_reasons[i]` says why `skipped[i]`."""

    customer_id: str
    unassigned: list[str]
    skipped: list[str]
    skip_reasons: list[SkipReason]
    remaining: Remaining
    operation_id: str
    revision: str


def unassign_devices(uow: UnitOfWork, command: UnassignDevices) -> Unassigned:
    """Ends the customer's assignments of the named devices, skips the other devices, and lists what remains.

    Raises:
        CustomerNotFound: the organisation has no such customer.
        RevisionMoved: `expected_revision` differs.
        DevicesSkipped: `require_all` is set and a device would be skipped.
    """
    validate_only = command.options.validate_only
    wanted = unique(command.identifiers)
    # A preview reads where the real call changes. `require_all` may refuse the call, which costs least before any
    # change.
    look_first = validate_only or command.require_all
    ended = None
    # A refused call looks whether another call with the same request id has been answered meanwhile, and returns that
    # answer. So a call must not be refused after it has changed something. A call that cannot be refused once the
    # customer is found needs one statement alone.
    if look_first or command.options.expected_revision:
        customer = uow.customers.lock(command.customer)
    else:
        full = command.remaining_view is RemainingView.FULL
        ended = uow.assignments.lock_and_unassign(command.customer, wanted, answer_size.FIRST_READ if full else 0)
        customer = ended.customer if ended else None
    if customer is None:
        raise CustomerNotFound
    command.options.check_revision(customer)
    if ended is None:
        touch = uow.assignments.which_are_assigned if look_first else uow.assignments.end
        touched = touch(customer, wanted)
    else:
        touched = ended.identifiers
    unassigned, skipped = divided(wanted, touched)
    reasons = skip_reasons(uow, skipped)
    if command.require_all and skipped:
        raise refusal(command.identifiers, skipped, reasons)
    if command.require_all and not validate_only and unassigned:
        uow.assignments.end(customer, unassigned)

    changes = bool(unassigned) and not validate_only
    after = customer.revision + changes
    lists = answer_size.size_of(unassigned) + answer_size.size_of(skipped)
    remaining = _remaining(uow, customer, command, unassigned, first=ended, lists_bytes=lists, revision=after)
    operation_id = new_id("op") if changes else ""
    if changes:
        deltas = {customer.id: -len(unassigned)}
        uow.operations.record(
            Operation(
                operation_id,
                "unassign",
                command.options.key_id,
                command.options.note,
                deltas,
                unassigned_count=len(unassigned),
            )
        )
    revision = tokens.revision_token(customer.id, after)
    return Unassigned(customer.id, unassigned, skipped, reasons, remaining, operation_id, revision)


def _remaining(
    uow: UnitOfWork,
    customer: Customer,
    command: UnassignDevices,
    unassigned: list[str],
    *,
    first: Ended | None,
    lists_bytes: int,
    revision: int,
) -> Remaining:
    count = customer.device_count - len(unassigned)
    match command.remaining_view:
        case RemainingView.NONE:
            return Remaining([], 0, "")
        case RemainingView.COUNT:
            return Remaining([], count, "")
        case RemainingView.FULL:
            fitted = answer_size.fit(
                # The first part may have been read together with the change.
                lambda after, limit: (
                    first.remaining if first and not after else uow.assignments.current(customer, after, limit)
                ),
                max_bytes=command.max_answer_bytes,
                taken=lists_bytes,
                without=gathered(unassigned) if command.options.validate_only else set(),
            )
    token = ""
    if not fitted.complete and not command.options.validate_only:
        last = fitted.identifiers[-1] if fitted.identifiers else ""
        token = tokens.next_page(customer, revision, last)
    return Remaining(fitted.identifiers, count, token)


def unassign_device(uow: UnitOfWork, command: UnassignDevices) -> Unassigned:
    """Ends one assignment, that of the only device of the command.

    Raises:
        DeviceNotAssigned: the customer does not have the device, known or not; and as `unassign_devices` does.
    """
    result = unassign_devices(uow, command)
    if result.skipped:
        raise DeviceNotAssigned
    return result
