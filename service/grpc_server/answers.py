"""Results of the assignments' use cases as answers."""

from collections.abc import MutableSequence, Sequence
from itertools import islice
from typing import TypeVar

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.assign import AssignedToCustomers, CustomerAssigned, DeviceAssigned, DevicesAssigned
from service.domain.list_assigned_devices import AssignedDevices
from service.domain.lookup_owners import Owners
from service.domain.revert_operation import Reverted
from service.domain.transfer_devices import Transferred
from service.domain.unassign_all_devices import AllUnassigned
from service.domain.unassign_devices import SkipReason, Unassigned
from service.domain.values import AssignmentChange, OperationRecord, Owner
from service.grpc_server.messages import operation, write_instant
from service.runtime.chunks import parts, weighed

T = TypeVar("T")


def unassigned(result: Unassigned) -> pb.UnassignDevicesResponse:
    """Answers UnassignDevices."""
    answer = pb.UnassignDevicesResponse(
        success=True,
        message=f"Successfully unassigned {len(result.unassigned)} device(s) from customer",
        customer_id=result.customer_id,
        remaining_count=result.remaining.count,
        next_page_token=result.remaining.next_page_token,
        operation_id=result.operation_id,
        revision=result.revision,
    )
    _add(answer.unassigned_devices, result.unassigned)
    _add(answer.skipped, result.skipped)
    _add(answer.skip_reasons, _skip_reasons(result.skip_reasons))
    _add(answer.devices_remaining, result.remaining.identifiers)
    return answer


def unassigned_one(result: Unassigned) -> pb.UnassignDeviceResponse:
    """Answers UnassignDevice."""
    answer = pb.UnassignDeviceResponse(
        success=True,
        message="Device successfully unassigned from customer",
        customer_id=result.customer_id,
        device_identifier=result.unassigned[0],
        remaining_count=result.remaining.count,
        next_page_token=result.remaining.next_page_token,
        operation_id=result.operation_id,
        revision=result.revision,
    )
    _add(answer.devices_remaining, result.remaining.identifiers)
    return answer


def devices_assigned(result: DevicesAssigned) -> pb.AssignDevicesResponse:
    """Answers AssignDevices."""
    answer = pb.AssignDevicesResponse(
        success=True,
        message=f"Successfully assigned {len(result.assigned)} device(s) to customer",
        customer_id=result.customer_id,
        customer_was_created=result.customer_was_created,
        device_count=result.device_count,
        operation_id=result.operation_id,
        revision=result.revision,
    )
    for part in parts(result.assigned):
        answer.assigned_devices.extend(map(_device, part))
    for part in parts(result.already_assigned):
        answer.already_assigned.extend(map(_device, part))
    _add(answer.skipped, result.skipped)
    return answer


def device_assigned(result: AssignedToCustomers) -> pb.AssignDeviceResponse:
    """Answers AssignDevice."""
    return pb.AssignDeviceResponse(
        success=True,
        message=f"Device successfully assigned to {len(result.customers)} customer(s)",
        device_id=result.device_id,
        device_was_created=result.device_was_created,
        assigned_customers=map(_customer, result.customers),
        already_assigned=map(_customer, result.already_assigned),
        operation_id=result.operation_id,
    )


def transferred(result: Transferred) -> pb.TransferDevicesResponse:
    """Answers TransferDevices."""
    answer = pb.TransferDevicesResponse(
        success=True,
        message=f"Successfully transferred {len(result.transferred)} device(s)",
        from_customer_id=result.source_id,
        to_customer_id=result.target_id,
        to_customer_was_created=result.target_was_created,
        from_device_count=result.source_device_count,
        to_device_count=result.target_device_count,
        operation_id=result.operation_id,
        from_revision=result.source_revision,
        to_revision=result.target_revision,
    )
    _add(answer.transferred_devices, result.transferred)
    _add(answer.skipped, result.skipped)
    _add(answer.skip_reasons, _skip_reasons(result.skip_reasons))
    return answer


def all_unassigned(result: AllUnassigned) -> pb.UnassignAllDevicesResponse:
    """Answers UnassignAllDevices."""
    return pb.UnassignAllDevicesResponse(
        success=True,
        message=f"Successfully unassigned {result.unassigned_count} device(s) from customer",
        customer_id=result.customer_id,
        unassigned_count=result.unassigned_count,
        operation_id=result.operation_id,
        revision=result.revision,
    )


def reverted(result: Reverted) -> pb.RevertOperationResponse:
    """Answers RevertOperation."""
    return pb.RevertOperationResponse(
        success=True,
        message=f"Successfully reverted {result.reverted_count} device(s), left {result.left_count}",
        operation_id=result.operation_id,
        reverted_count=result.reverted_count,
        not_reverted_count=result.left_count,
        not_reverted_devices=[
            pb.DeviceLeft(device_identifier=identifier, reason=pb.LeftReason.ValueType(reason))
            for identifier, reason in result.left
        ],
    )


def owners(found: Owners) -> pb.LookupOwnersResponse:
    """Answers LookupOwners."""
    answer = pb.LookupOwnersResponse()
    # Field by field, which takes two thirds of the time that naming them to `add` does. Devices that stand side by side
    # often have the same owners, and a copy takes half the time again.
    add, owners_of = answer.results.add, found.owners.get
    before: Sequence[Owner] | None = None  # as of a device that does not exist
    device_before = pb.DeviceOwners()
    for identifier in weighed(found.identifiers, lambda identifier: len(owners_of(identifier, ()))):
        device = add()
        all_owners = owners_of(identifier)
        if all_owners == before:
            device.MergeFrom(device_before)
        else:
            _add_owners(device, all_owners, found.listed)
            before, device_before = all_owners, device
        device.device_identifier = identifier
    write_instant(answer.as_of, found.as_of)
    return answer


def _add_owners(device: pb.DeviceOwners, all_owners: Sequence[Owner] | None, listed: int) -> None:
    if all_owners is None:
        return
    device.found = True
    if all_owners:
        device.owner_count = all_owners[0].owner_count
    for customer_id, email, assigned_at, _ in islice(all_owners, listed):
        owner = device.owners.add()
        owner.customer_id = customer_id
        owner.email = email
        write_instant(owner.assigned_at, assigned_at)


def assigned_devices(page: AssignedDevices) -> pb.ListAssignedDevicesResponse:
    """Answers ListAssignedDevices."""
    answer = pb.ListAssignedDevicesResponse(
        next_page_token=page.next_page_token, total_count=page.total_count, revision=page.revision
    )
    if page.as_of is not None:
        write_instant(answer.as_of, page.as_of)
    for part in parts(page.devices):
        for device in part:
            listed = answer.devices.add(device_identifier=device.identifier, device_id=device.device_id)
            write_instant(listed.assigned_at, device.assigned_at)
    return answer


def operations(page: list[OperationRecord], next_page_token: str) -> pb.ListOperationsResponse:
    """Answers ListOperations."""
    answer = pb.ListOperationsResponse(next_page_token=next_page_token)
    for part in parts(page):
        answer.operations.extend(map(operation, part))
    return answer


def operation_changes(page: list[AssignmentChange], next_page_token: str) -> pb.ListOperationChangesResponse:
    """Answers ListOperationChanges."""
    answer = pb.ListOperationChangesResponse(next_page_token=next_page_token)
    for part in parts(page):
        answer.changes.extend(map(_change, part))
    return answer


def _add(field: MutableSequence[T], listed: list[T]) -> None:
    """Fills a list of a message, part by part."""
    for part in parts(listed):
        field.extend(part)


def _skip_reasons(reasons: list[SkipReason]) -> list[pb.SkipReason.ValueType]:
    return [pb.SkipReason.ValueType(reason) for reason in reasons]


def _change(change: AssignmentChange) -> pb.OperationChange:
    return pb.OperationChange(
        device_identifier=change.device_identifier,
        customer_id=change.customer_id,
        change=pb.Change.ValueType(change.change),
    )


def _device(device: DeviceAssigned) -> pb.DeviceAssigned:
    return pb.DeviceAssigned(identifier=device.identifier, device_id=device.device_id, was_created=device.was_created)


def _customer(customer: CustomerAssigned) -> pb.CustomerAssigned:
    return pb.CustomerAssigned(email=customer.email, customer_id=customer.customer_id, was_created=customer.was_created)
