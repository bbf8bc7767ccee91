"""Moves devices from one customer to another, in one step that nobody sees half of."""

from dataclasses import dataclass

from service.domain.assign import lock_or_create
from service.domain.email import Email
from service.domain.errors import CustomerNotFound
from service.domain.identifiers import divided, unique
from service.domain.ids import new_id
from service.domain.options import Options
from service.domain.replay import Request
from service.domain.tokens import revision_token
from service.domain.unassign import SkipReason, refusal, skip_reasons
from service.domain.unit_of_work import Operation, UnitOfWork


@dataclass(frozen=True, slots=True)
class TransferDevices:
    """A validated wish; the two customers differ. `options.expected_revision` is the giver's."""

    giver: Email
    taker: Email
    identifiers: list[str]
    options: Options
    require_existing_customer: bool = False
    require_all: bool = False

    def request(self) -> Request:
        """Tells what the request id stands for."""
        content = (self.giver.key, self.taker.key, unique(self.identifiers))
        return self.options.request("TransferDevices", *content, self.require_existing_customer, self.require_all)


@dataclass(frozen=True, slots=True)
class Transferred:
    """What became of it. `skip_reasons[i]` says why `skipped[i]`."""

    giver_id: str
    taker_id: str
    taker_was_created: bool
    transferred: list[str]
    skipped: list[str]
    skip_reasons: list[SkipReason]
    giver_device_count: int
    taker_device_count: int
    operation_id: str
    giver_revision: str
    taker_revision: str


def transfer_devices(uow: UnitOfWork, wish: TransferDevices) -> Transferred:
    """Moves what the giver has of the wished devices and skips the rest.

    Raises:
        CustomerNotFound: the giver does not exist, or the taker does not and must.
        RevisionMoved: `expected_revision` differs.
        DevicesSkipped: `require_all` is set and a device would be skipped.
    """
    options = wish.options
    # The giver is never created; looked for first, because the lock below adds who is missing.
    if uow.customers.find(email=wish.giver) is None:
        raise CustomerNotFound
    customers, created = lock_or_create(
        uow,
        [wish.giver, wish.taker],
        must_exist=wish.require_existing_customer,
        validate_only=options.validate_only,
    )
    if wish.giver.key in created:  # the giver has got another address since the look
        raise CustomerNotFound
    giver = customers[wish.giver.key]
    taker = customers.get(wish.taker.key) if options.validate_only else customers[wish.taker.key]
    options.guard(giver)
    wanted = unique(wish.identifiers)
    look_first = options.validate_only or wish.require_all
    touch = uow.assignments.among if look_first else uow.assignments.end
    moved, skipped = divided(wanted, touch(giver, wanted))
    reasons = skip_reasons(uow, skipped)
    if wish.require_all and skipped:
        raise refusal(wish.identifiers, dict(zip(skipped, reasons, strict=True)))
    if look_first and moved and not options.validate_only:
        uow.assignments.end(giver, moved)

    begun, operation_id = 0, ""
    if moved and options.validate_only:
        begun = len(moved) - (len(uow.assignments.among(taker, moved)) if taker else 0)
    elif moved and taker is not None:
        begun = len(uow.assignments.begin(taker, moved))
        operation_id = new_id("op")
        deltas = {giver.id: -len(moved)} | ({taker.id: begun} if begun else {})
        uow.operations.record(
            Operation(operation_id, "transfer", options.key_id, options.note, deltas, begun, len(moved))
        )
    changed = bool(operation_id)
    return Transferred(
        giver_id=giver.id,
        taker_id=taker.id if taker else "",
        taker_was_created=bool(created),
        transferred=moved,
        skipped=skipped,
        skip_reasons=reasons,
        giver_device_count=giver.device_count - len(moved),
        taker_device_count=(taker.device_count if taker else 0) + begun,
        operation_id=operation_id,
        giver_revision=revision_token(giver.id, giver.revision + changed),
        taker_revision=revision_token(taker.id, taker.revision + (changed and begun > 0)) if taker else "",
    )
