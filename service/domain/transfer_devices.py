"""Moves devices from one customer to another, in one transaction."""

from dataclasses import dataclass

from service.domain.customer_locks import lock_or_create
from service.domain.email import Email
from service.domain.errors import CustomerNotFound
from service.domain.identifiers import divided, unique
from service.domain.ids import new_id
from service.domain.options import Options
from service.domain.replay import Request
from service.domain.skipped_devices import SkipReason, refusal, skip_reasons
from service.domain.tokens import revision_token
from service.domain.values import Operation
from service.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class TransferDevices:
    """The command, validated. The two customers differ. `options.expected_revision` is the source's."""

    source: Email
    target: Email
    identifiers: list[str]
    options: Options
    require_existing_customer: bool = False
    require_all: bool = False

    def request(self) -> Request:
        """Returns what the request id stands for."""
        content = (self.source.key, self.target.key, unique(self.identifiers))
        return self.options.request("TransferDevices", *content, self.require_existing_customer, self.require_all)


@dataclass(frozen=True, slots=True)
class Transferred:
    """The result. `skip_reasons[i]` says why `skipped[i]`."""

    source_id: str
    target_id: str
    target_was_created: bool
    transferred: list[str]
    skipped: list[str]
    skip_reasons: list[SkipReason]
    source_device_count: int
    target_device_count: int
    operation_id: str
    source_revision: str
    target_revision: str


def transfer_devices(uow: UnitOfWork, command: TransferDevices) -> Transferred:
    """Moves the named devices that the source has, and skips the others.

    Raises:
        CustomerNotFound: the source does not exist, or the target does not and must.
        RevisionMoved: `expected_revision` differs.
        DevicesSkipped: `require_all` is set and a device would be skipped.
    """
    options = command.options
    # The source is never created, so it is looked up first: the lock below creates missing customers.
    if uow.customers.find(email=command.source) is None:
        raise CustomerNotFound
    customers, created = lock_or_create(
        uow,
        [command.source, command.target],
        must_exist=command.require_existing_customer,
        validate_only=options.validate_only,
    )
    if command.source.key in created:  # the source's address has changed since it was looked up
        raise CustomerNotFound
    source = customers[command.source.key]
    target = customers.get(command.target.key) if options.validate_only else customers[command.target.key]
    options.check_revision(source)
    wanted = unique(command.identifiers)
    look_first = options.validate_only or command.require_all
    touch = uow.assignments.which_are_assigned if look_first else uow.assignments.end
    moved, skipped = divided(wanted, touch(source, wanted))
    reasons = skip_reasons(uow, skipped)
    if command.require_all and skipped:
        raise refusal(command.identifiers, skipped, reasons)
    if look_first and moved and not options.validate_only:
        uow.assignments.end(source, moved)

    begun, operation_id = 0, ""
    if moved and options.validate_only:
        begun = len(moved) - (len(uow.assignments.which_are_assigned(target, moved)) if target else 0)
    elif moved and target is not None:
        begun = len(uow.assignments.begin(target, moved))
        operation_id = new_id("op")
        deltas = {source.id: -len(moved)} | ({target.id: begun} if begun else {})
        uow.operations.record(
            Operation(operation_id, "transfer", options.key_id, options.note, deltas, begun, len(moved))
        )
    changed = bool(operation_id)
    return Transferred(
        source_id=source.id,
        target_id=target.id if target else "",
        target_was_created=bool(created),
        transferred=moved,
        skipped=skipped,
        skip_reasons=reasons,
        source_device_count=source.device_count - len(moved),
        target_device_count=(target.device_count if target else 0) + begun,
        operation_id=operation_id,
        source_revision=revision_token(source.id, source.revision + changed),
        target_revision=revision_token(target.id, target.revision + (changed and begun > 0)) if target else "",
    )
