"""Assigns many devices to one customer. Other owners of the devices keep them."""

from dataclasses import dataclass

from service.domain.customer_locks import lock_or_create
from service.domain.email import Email
from service.domain.identifiers import unique
from service.domain.ids import new_id
from service.domain.options import Options
from service.domain.replay import Request
from service.domain.tokens import revision_token
from service.domain.values import Operation
from service.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class AssignDevices:
    """The command, validated. `device_type` is set if devices may be created."""

    customer: Email
    identifiers: list[str]
    options: Options
    auto_create_devices: bool = False
    device_type: str = ""
    require_existing_customer: bool = False

    def request(self) -> Request:
        """Returns what the request id stands for."""
        how = (self.auto_create_devices, self.device_type, self.require_existing_customer)
        return self.options.request("AssignDevices", self.customer.key, unique(self.identifiers), *how)


@dataclass(frozen=True, slots=True)
class DeviceAssigned:
    """A device in the result. The id is empty in a preview of a device that would be created."""

    identifier: str
    device_id: str
    was_created: bool


@dataclass(frozen=True, slots=True)
class DevicesAssigned:
    """The result."""

    customer_id: str
    customer_was_created: bool
    assigned: list[DeviceAssigned]
    already_assigned: list[DeviceAssigned]
    skipped: list[str]
    device_count: int
    operation_id: str
    revision: str


def assign_devices(uow: UnitOfWork, command: AssignDevices) -> DevicesAssigned:
    """Assigns the devices that exist, or all of them if devices may be created.

    Raises:
        CustomerNotFound: the customer does not exist and must.
        RevisionMoved: `expected_revision` differs.
    """
    options = command.options
    customers, created = lock_or_create(
        uow,
        [command.customer],
        must_exist=command.require_existing_customer,
        validate_only=options.validate_only,
    )
    customer = customers.get(command.customer.key) if options.validate_only else customers[command.customer.key]
    options.check_revision(None if created else customer)
    wanted = unique(command.identifiers)
    known, created_devices = _known_or_created(uow, command, wanted)
    existing = [identifier for identifier in wanted if identifier in known]
    if customer is None:
        begun = set(existing)
    elif options.validate_only:
        begun = set(existing) - set(uow.assignments.which_are_assigned(customer, existing))
    else:
        begun = set(uow.assignments.begin(customer, existing)) if existing else set()

    operation_id = ""
    if begun and customer is not None and not options.validate_only:
        operation_id = new_id("op")
        deltas = {customer.id: len(begun)}
        uow.operations.record(
            Operation(operation_id, "assign", options.key_id, options.note, deltas, assigned_count=len(begun))
        )
    listed = [DeviceAssigned(i, known[i], i in created_devices) for i in existing]
    return DevicesAssigned(
        customer_id=customer.id if customer else "",
        customer_was_created=bool(created),
        assigned=[device for device in listed if device.identifier in begun],
        already_assigned=[device for device in listed if device.identifier not in begun],
        skipped=[identifier for identifier in wanted if identifier not in known],
        device_count=(customer.device_count if customer else 0) + len(begun),
        operation_id=operation_id,
        revision=revision_token(customer.id, customer.revision + bool(operation_id)) if customer else "",
    )


def _known_or_created(uow: UnitOfWork, command: AssignDevices, wanted: list[str]) -> tuple[dict[str, str], set[str]]:
    """Returns the ids of the devices that exist, by identifier, and the identifiers of those that are new.

    In a preview, a device that would be created has an empty id.
    """
    known = uow.devices.known(wanted)
    new = [identifier for identifier in wanted if identifier not in known] if command.auto_create_devices else []
    if not new:
        return known, set()
    if command.options.validate_only:
        return known | dict.fromkeys(new, ""), set(new)
    made, created = uow.devices.create(new, command.device_type)
    return known | made, created
