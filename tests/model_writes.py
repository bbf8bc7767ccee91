"""The model's writes: what any rpc that changes assignments answers, options and repetitions included."""

from collections.abc import Callable
from typing import Any

from deviceassignment.v1 import customer_pb2
from deviceassignment.v1 import device_assignment_pb2 as pb

from tests.model import EMAIL_TAKEN, INVALID, REUSED, Organization, Refusal
from tests.model_gives import assign_device, assign_devices, transfer_devices
from tests.model_takes import revert_operation, unassign_all, unassign_device, unassign_devices, unique

EMAIL_FIELDS = ("email", "customer_email", "from_customer_email", "to_customer_email")
LIST_FIELDS = ("device_identifiers", "customer_emails")


def write(model: Organization, request: Any) -> Any:
    """Answers any write: with a message, whose lists are whole however long, or with `Refused`."""
    try:
        _check(request)
        request_id = "" if request.validate_only else request.request_id.lower()
        if request_id in model.replies:
            first, answer = model.replies[request_id]
            return answer if first == _content(request) else REUSED
        answer = _WORK[type(request)](model, request)
    except Refusal as refusal:
        return refusal.refused
    if request_id:
        model.replies[request_id] = (_content(request), answer)
    return answer


def has(request: Any, field: str) -> bool:
    """Tells whether a kind of message has a field."""
    return field in request.DESCRIPTOR.fields_by_name


def _check(request: Any) -> None:
    """Refuses what the fields alone show to be wrong."""
    match request:
        case pb.AssignDevicesRequest():
            wrong = request.auto_create_devices and not request.device_type
        case pb.AssignDeviceRequest():
            wrong = request.auto_create_device and not request.device_type
        case pb.TransferDevicesRequest():
            wrong = request.from_customer_email.lower() == request.to_customer_email.lower()
        case pb.UnassignAllDevicesRequest():
            wrong = not request.HasField("expected_count") or request.expected_count < 0
        case _:
            wrong = False
    if wrong:
        raise Refusal(INVALID)


def _content(request: Any) -> tuple[type, bytes]:
    """Gives what a request id stands for: equal for two spellings of the same request."""
    same = type(request)()
    same.CopyFrom(request)
    same.ClearField("request_id")
    same.ClearField("validate_only")
    for field in EMAIL_FIELDS:
        if has(same, field):
            setattr(same, field, getattr(same, field).lower())
    for field in LIST_FIELDS:
        if has(same, field):
            values = [value.lower() if "email" in field else value for value in getattr(same, field)]
            getattr(same, field)[:] = unique(values)
    if has(same, "remaining_view"):
        same.remaining_view = same.remaining_view or pb.REMAINING_VIEW_FULL
    return type(request), same.SerializeToString(deterministic=True)


def save_customer(
    model: Organization, request: customer_pb2.CreateOrUpdateCustomerRequest
) -> customer_pb2.CreateOrUpdateCustomerResponse:
    """Answers CreateOrUpdateCustomer, of which the model knows the addresses alone."""
    customer = model.customer_of_id(request.telemetron_customer_id) if request.telemetron_customer_id else None
    if model.find(request.email) not in {None, customer}:
        raise Refusal(EMAIL_TAKEN)
    if not request.validate_only:
        if customer is None:
            customer = model.add_customer(request.email)
        else:
            model.rename(customer, request.email)
    return customer_pb2.CreateOrUpdateCustomerResponse(
        success=True,
        telemetron_customer_id=customer.name if customer else "",
        message=f"Customer successfully {'updated' if request.telemetron_customer_id else 'created'}",
    )


_WORK: dict[type, Callable[[Organization, Any], Any]] = {
    pb.UnassignDevicesRequest: unassign_devices,
    pb.UnassignDeviceRequest: unassign_device,
    pb.AssignDevicesRequest: assign_devices,
    pb.AssignDeviceRequest: assign_device,
    pb.TransferDevicesRequest: transfer_devices,
    pb.UnassignAllDevicesRequest: unassign_all,
    pb.RevertOperationRequest: revert_operation,
    customer_pb2.CreateOrUpdateCustomerRequest: save_customer,
}
