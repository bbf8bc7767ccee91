"""Assigns one device to many customers. Other owners of the device keep it."""

from dataclasses import dataclass

from service.domain.customer_locks import lock_or_create
from service.domain.email import Email
from service.domain.errors import DeviceNotFound
from service.domain.identifiers import unique
from service.domain.ids import new_id
from service.domain.options import Options
from service.domain.replay import Request
from service.domain.values import Operation
from service.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class AssignDevice:
    """The command, validated. `device_type` is set if the device may be created."""

    identifier: str
    customers: list[Email]
    options: Options
    auto_create_device: bool = False
    device_type: str = ""
    require_existing_customer: bool = False
    with_stored_emails: bool = True

    def request(self) -> Request:
        """Returns what the request id stands for."""
        how = (self.auto_create_device, self.device_type, self.require_existing_customer)
        keys = unique([customer.key for customer in self.customers])
        return self.options.request("AssignDevice", self.identifier, keys, *how)


@dataclass(frozen=True, slots=True)
class CustomerAssigned:
    """A customer in the result. The id is empty in a preview of a customer that would be created."""

    email: str
    customer_id: str
    was_created: bool


@dataclass(frozen=True, slots=True)
class DeviceAssignedToCustomers:
    """The result."""

    device_id: str
    device_was_created: bool
    customers: list[CustomerAssigned]
    already_assigned: list[CustomerAssigned]
    operation_id: str


def assign_device(uow: UnitOfWork, command: AssignDevice) -> DeviceAssignedToCustomers:
    """Assigns one device to every customer that is named.

    Raises:
        DeviceNotFound: the device does not exist and may not be created.
        CustomerNotFound: a customer does not exist and must.
    """
    options = command.options
    customers, created = lock_or_create(
        uow, command.customers, must_exist=command.require_existing_customer, validate_only=options.validate_only
    )
    known = uow.devices.known([command.identifier])
    device_was_created = False
    if not known:
        if not command.auto_create_device:
            raise DeviceNotFound
        device_was_created = True
        if not options.validate_only:
            known, made = uow.devices.create([command.identifier], command.device_type)
            device_was_created = bool(made)
    found = list(customers.values())
    if options.validate_only:
        begun = {customer.id for customer in found} - uow.assignments.sharing(found, command.identifier)
    else:
        begun = uow.assignments.share(found, command.identifier)

    operation_id = ""
    if begun and not options.validate_only:
        operation_id = new_id("op")
        deltas = dict.fromkeys(sorted(begun), 1)
        uow.operations.record(
            Operation(operation_id, "assign", options.key_id, options.note, deltas, assigned_count=len(begun))
        )
    # A key that may not read addresses gets its own spelling back.
    stored = customers if command.with_stored_emails else {}
    named = {email.key: email for email in reversed(command.customers)}
    listed = {
        key: CustomerAssigned(
            stored[key].email if key in stored else named[key].given,
            customers[key].id if key in customers else "",
            key in created,
        )
        for key in unique([email.key for email in command.customers])
    }
    return DeviceAssignedToCustomers(
        device_id=known.get(command.identifier, ""),
        device_was_created=device_was_created,
        customers=list(listed.values()),
        already_assigned=[item for key, item in listed.items() if key in customers and customers[key].id not in begun],
        operation_id=operation_id,
    )
