"""Assigns devices to customers, beside the owners that they have already."""

from dataclasses import dataclass

from service.domain.email import Email
from service.domain.errors import CustomerNotFound, DeviceNotFound
from service.domain.identifiers import unique
from service.domain.ids import new_id
from service.domain.options import Options
from service.domain.replay import Request
from service.domain.tokens import revision_token
from service.domain.values import Customer, Operation
from service.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class AssignDevices:
    """A validated wish: many devices to one customer. `device_type` is given if devices may be created."""

    customer: Email
    identifiers: list[str]
    options: Options
    auto_create_devices: bool = False
    device_type: str = ""
    require_existing_customer: bool = False

    def request(self) -> Request:
        """Tells what the request id stands for."""
        how = (self.auto_create_devices, self.device_type, self.require_existing_customer)
        return self.options.request("AssignDevices", self.customer.key, unique(self.identifiers), *how)


@dataclass(frozen=True, slots=True)
class AssignDevice:
    """A validated wish: one device to many customers."""

    identifier: str
    customers: list[Email]
    options: Options
    auto_create_device: bool = False
    device_type: str = ""
    require_existing_customer: bool = False

    def request(self) -> Request:
        """Tells what the request id stands for."""
        how = (self.auto_create_device, self.device_type, self.require_existing_customer)
        keys = unique([customer.key for customer in self.customers])
        return self.options.request("AssignDevice", self.identifier, keys, *how)


@dataclass(frozen=True, slots=True)
class DeviceAssigned:
    """A device in an answer. The id is empty in a preview of a device that would be created."""

    identifier: str
    device_id: str
    was_created: bool


@dataclass(frozen=True, slots=True)
class CustomerAssigned:
    """A customer in an answer. The id is empty in a preview of a customer who would be created."""

    email: str
    customer_id: str
    was_created: bool


@dataclass(frozen=True, slots=True)
class DevicesAssigned:
    """What became of many devices."""

    customer_id: str
    customer_was_created: bool
    assigned: list[DeviceAssigned]
    already_assigned: list[DeviceAssigned]
    skipped: list[str]
    device_count: int
    operation_id: str
    revision: str


@dataclass(frozen=True, slots=True)
class AssignedToCustomers:
    """What became of one device."""

    device_id: str
    device_was_created: bool
    customers: list[CustomerAssigned]
    already_assigned: list[CustomerAssigned]
    operation_id: str


def lock_or_create(
    uow: UnitOfWork, emails: list[Email], *, must_exist: bool, validate_only: bool
) -> tuple[dict[str, Customer], set[str]]:
    """Locks customers, adding those that are missing.

    Returns:
        The customers by key: all of them, but in a preview those that there are. And the keys of those that this
        transaction has added, or in a preview would add.

    Raises:
        CustomerNotFound: one is missing and must not be.
    """
    found = uow.customers.lock_all(emails)
    # Backwards, so that of two spellings the first stays: an address is shown as it was first given.
    missing = [email for email in {email.key: email for email in reversed(emails)}.values() if email.key not in found]
    if not missing:
        return found, set()
    if must_exist:
        raise CustomerNotFound
    if validate_only:
        return found, {email.key for email in missing}
    added, created = uow.customers.create(missing)
    return found | added, created


def assign_devices(uow: UnitOfWork, wish: AssignDevices) -> DevicesAssigned:
    """Assigns what there is, or all of it if devices may be created, and tells what the customer had already.

    Raises:
        CustomerNotFound: the customer does not exist and must.
        RevisionMoved: `expected_revision` differs.
    """
    validate_only = wish.options.validate_only
    must_exist = wish.require_existing_customer
    customers, created = lock_or_create(uow, [wish.customer], must_exist=must_exist, validate_only=validate_only)
    customer = customers.get(wish.customer.key) if validate_only else customers[wish.customer.key]
    wish.options.guard(None if created else customer)
    wanted = unique(wish.identifiers)
    known = uow.devices.known(wanted)
    new = [identifier for identifier in wanted if identifier not in known] if wish.auto_create_devices else []
    created_devices = set(new)
    if new and not validate_only:
        made, created_devices = uow.devices.create(new, wish.device_type)
        known |= made
    elif new:
        known |= dict.fromkeys(new, "")
    existing = [identifier for identifier in wanted if identifier in known]
    if customer is None:
        begun = set(existing)
    elif validate_only:
        begun = set(existing) - set(uow.assignments.which_are_assigned(customer, existing))
    else:
        begun = set(uow.assignments.begin(customer, existing)) if existing else set()

    operation_id = ""
    if begun and customer is not None and not validate_only:
        operation_id = new_id("op")
        deltas = {customer.id: len(begun)}
        options = wish.options
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


def assign_device(uow: UnitOfWork, wish: AssignDevice) -> AssignedToCustomers:
    """Assigns one device to every customer named, and tells who had it already.

    Raises:
        DeviceNotFound: the device does not exist and may not be created.
        CustomerNotFound: a customer does not exist and must.
    """
    validate_only = wish.options.validate_only
    customers, created = lock_or_create(
        uow, wish.customers, must_exist=wish.require_existing_customer, validate_only=validate_only
    )
    known = uow.devices.known([wish.identifier])
    device_was_created = False
    if not known:
        if not wish.auto_create_device:
            raise DeviceNotFound
        device_was_created = True
        if not validate_only:
            known, made = uow.devices.create([wish.identifier], wish.device_type)
            device_was_created = bool(made)
    found = list(customers.values())
    if validate_only:
        begun = {customer.id for customer in found} - uow.assignments.sharing(found, wish.identifier)
    else:
        begun = uow.assignments.share(found, wish.identifier)

    operation_id = ""
    if begun and not validate_only:
        operation_id = new_id("op")
        deltas = dict.fromkeys(sorted(begun), 1)
        options = wish.options
        uow.operations.record(
            Operation(operation_id, "assign", options.key_id, options.note, deltas, assigned_count=len(begun))
        )
    named = {email.key: email for email in reversed(wish.customers)}
    listed = {
        key: CustomerAssigned(
            customers[key].email if key in customers else named[key].given,
            customers[key].id if key in customers else "",
            key in created,
        )
        for key in unique([email.key for email in wish.customers])
    }
    return AssignedToCustomers(
        device_id=known.get(wish.identifier, ""),
        device_was_created=device_was_created,
        customers=list(listed.values()),
        already_assigned=[item for key, item in listed.items() if key in customers and customers[key].id not in begun],
        operation_id=operation_id,
    )
