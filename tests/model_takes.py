"""The model's writes that only take devices from customers, and RevertOperation, which may do either."""

from collections.abc import Iterable
from typing import Any

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb

from tests.model import NOT_ASSIGNED, Customer, Operation, Organization, Refusal, Refused


def unassign_devices(model: Organization, request: pb.UnassignDevicesRequest) -> pb.UnassignDevicesResponse:
    """Answers UnassignDevices with the whole remaining list."""
    customer = model.customer(request.customer_email)
    model.guard(customer, request.expected_revision)
    ended, skipped, reasons = parted(model, customer, request)
    left = sorted(customer.now.keys() - set(ended))
    operation = commit(model, request, "unassign", ends=[(customer, device) for device in ended])
    view = request.remaining_view or pb.REMAINING_VIEW_FULL
    return pb.UnassignDevicesResponse(
        success=True,
        message=f"Successfully unassigned {len(ended)} device(s) from customer",
        customer_id=customer.name,
        unassigned_devices=ended,
        skipped=skipped,
        devices_remaining=left if view == pb.REMAINING_VIEW_FULL else [],
        skip_reasons=reasons,
        remaining_count=0 if view == pb.REMAINING_VIEW_NONE else len(left),
        operation_id=operation,
        revision=customer.revision(),
    )


def unassign_device(model: Organization, request: pb.UnassignDeviceRequest) -> pb.UnassignDeviceResponse:
    """Answers UnassignDevice likewise."""
    customer = model.customer(request.customer_email)
    model.guard(customer, request.expected_revision)
    device = request.device_identifier
    if device not in customer.now:
        raise Refusal(NOT_ASSIGNED)
    left = sorted(customer.now.keys() - {device})
    operation = commit(model, request, "unassign", ends=[(customer, device)])
    view = request.remaining_view or pb.REMAINING_VIEW_FULL
    return pb.UnassignDeviceResponse(
        success=True,
        message="Device successfully unassigned from customer",
        customer_id=customer.name,
        device_identifier=device,
        devices_remaining=left if view == pb.REMAINING_VIEW_FULL else [],
        remaining_count=0 if view == pb.REMAINING_VIEW_NONE else len(left),
        operation_id=operation,
        revision=customer.revision(),
    )


def unassign_all(model: Organization, request: pb.UnassignAllDevicesRequest) -> pb.UnassignAllDevicesResponse:
    """Answers UnassignAllDevices."""
    customer = model.customer(request.customer_email)
    model.guard(customer, request.expected_revision)
    count = len(customer.now)
    if count != request.expected_count:
        details = (("device_count", str(count)),)
        raise Refusal(Refused(grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_COUNT_DIFFERS", details))
    operation = commit(model, request, "unassign_all", ends=[(customer, device) for device in customer.now])
    return pb.UnassignAllDevicesResponse(
        success=True,
        message=f"Successfully unassigned {count} device(s) from customer",
        customer_id=customer.name,
        unassigned_count=count,
        operation_id=operation,
        revision=customer.revision(),
    )


def revert_operation(model: Organization, request: pb.RevertOperationRequest) -> pb.RevertOperationResponse:
    """Answers RevertOperation."""
    undone = model.operation(request.operation_id)
    later: dict[str, list[Operation]] = {step.device: [] for step in undone.steps}
    for operation in model.operations[model.operations.index(undone) + 1 :]:
        for device in {step.device for step in operation.steps} & later.keys():
            later[device].append(operation)
    left = sorted(device for device, operations in later.items() if operations)
    back = [step for step in undone.steps if not later[step.device]]
    made = commit(
        model,
        request,
        "revert",
        begins=[(step.customer, step.device) for step in back if step.change == pb.CHANGE_UNASSIGNED],
        ends=[(step.customer, step.device) for step in back if step.change == pb.CHANGE_ASSIGNED],
        reverts=undone.name,
    )
    count = len(later) - len(left)
    return pb.RevertOperationResponse(
        success=True,
        message=f"Successfully reverted {count} device(s), left {len(left)}",
        operation_id=made,
        reverted_count=count,
        not_reverted_count=len(left),
        not_reverted_devices=[
            pb.DeviceLeft(
                device_identifier=device,
                reason=pb.LEFT_REASON_ALREADY_REVERTED
                if any(operation.reverts == undone.name for operation in later[device])
                else pb.LEFT_REASON_CHANGED_SINCE,
            )
            for device in left
        ],
    )


def parted(
    model: Organization, customer: Customer, request: pb.UnassignDevicesRequest | pb.TransferDevicesRequest
) -> tuple[list[str], list[str], list[pb.SkipReason.ValueType]]:
    """Parts the named devices: those that the customer has, the others, and why those are skipped."""
    wanted = unique(request.device_identifiers)
    reasons = {
        device: pb.SKIP_REASON_NOT_ASSIGNED if device in model.devices else pb.SKIP_REASON_UNKNOWN_DEVICE
        for device in wanted
        if device not in customer.now
    }
    if reasons and request.require_all:
        details = tuple(
            (f"device_identifiers[{index}]", pb.SkipReason.Name(reasons[device]))
            for index, device in enumerate(request.device_identifiers)
            if device in reasons
        )
        raise Refusal(Refused(grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_DEVICES_SKIPPED", details))
    return [device for device in wanted if device in customer.now], list(reasons), list(reasons.values())


def commit(model: Organization, request: Any, kind: str, **changes: Any) -> str:
    """Makes an operation, unless the call is a preview. Gives its name."""
    made = None if request.validate_only else model.commit(kind, request.note, **changes)
    return made.name if made else ""


def unique(values: Iterable[str]) -> list[str]:
    """Names each value once, in the order of its first appearance."""
    return list(dict.fromkeys(values))
