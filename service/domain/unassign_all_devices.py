"""Ends all assignments of one customer, in one operation."""

from dataclasses import dataclass

from service.domain.email import Email
from service.domain.errors import CountDiffers, CustomerNotFound
from service.domain.ids import new_id
from service.domain.options import Options
from service.domain.replay import Request
from service.domain.tokens import revision_token
from service.domain.values import Operation
from service.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class UnassignAllDevices:
    """The command, validated. `expected_count` is how many devices the caller expects the customer to have."""

    customer: Email
    expected_count: int
    options: Options

    def request(self) -> Request:
        """Returns what the request id stands for."""
        return self.options.request("UnassignAllDevices", self.customer.key, self.expected_count)


@dataclass(frozen=True, slots=True)
class AllUnassigned:
    """The result."""

    customer_id: str
    unassigned_count: int
    operation_id: str
    revision: str


def unassign_all_devices(uow: UnitOfWork, command: UnassignAllDevices) -> AllUnassigned:
    """Ends all of a customer's assignments, without reading them.

    Raises:
        CustomerNotFound: the organisation has no such customer.
        RevisionMoved: `expected_revision` differs.
        CountDiffers: the customer has another number of devices.
    """
    options = command.options
    customer = uow.customers.lock(command.customer)
    if customer is None:
        raise CustomerNotFound
    options.check_revision(customer)
    count = customer.device_count
    if count != command.expected_count:
        raise CountDiffers(count)
    operation_id = ""
    if count and not options.validate_only:
        operation_id = new_id("op")
        uow.assignments.end_all(customer)
        deltas = {customer.id: -count}
        uow.operations.record(
            Operation(operation_id, "unassign_all", options.key_id, options.note, deltas, unassigned_count=count)
        )
    revision = revision_token(customer.id, customer.revision + bool(operation_id))
    return AllUnassigned(customer.id, count, operation_id, revision)
