"""The model's writes that give devices to customers: AssignDevices, AssignDevice and TransferDevices."""

from deviceassignment.v1 import device_assignment_pb2 as pb

from tests.model import CUSTOMER_NOT_FOUND, DEVICE_NOT_FOUND, Organization, Refusal
from tests.model_takes import commit, parted, unique


def assign_devices(model: Organization, request: pb.AssignDevicesRequest) -> pb.AssignDevicesResponse:
    """Answers AssignDevices."""
    customer = model.find(request.customer_email)
    created = customer is None
    if created and request.require_existing_customer:
        raise Refusal(CUSTOMER_NOT_FOUND)
    model.guard(customer, request.expected_revision)
    wanted = unique(request.device_identifiers)
    new = [device for device in wanted if device not in model.devices and request.auto_create_devices]
    existing = [device for device in wanted if device in model.devices or device in new]
    skipped = [device for device in wanted if device not in existing]
    if not request.validate_only:
        customer = model.add_customer(request.customer_email)
        model.add_devices(new)
    had = dict(customer.now) if customer else {}
    begun = [device for device in existing if device not in had]
    operation = commit(model, request, "assign", begins=[(customer, device) for device in begun] if customer else [])
    listed = {
        device: pb.DeviceAssigned(identifier=device, device_id=model.devices.get(device, ""), was_created=device in new)
        for device in existing
    }
    return pb.AssignDevicesResponse(
        success=True,
        message=f"Successfully assigned {len(begun)} device(s) to customer",
        customer_id=customer.name if customer else "",
        customer_was_created=created,
        assigned_devices=[listed[device] for device in begun],
        already_assigned=[listed[device] for device in existing if device in had],
        skipped=skipped,
        device_count=len(had) + len(begun),
        operation_id=operation,
        revision=customer.revision() if customer else "",
    )


def assign_device(model: Organization, request: pb.AssignDeviceRequest) -> pb.AssignDeviceResponse:
    """Answers AssignDevice."""
    device = request.device_identifier
    # Of two spellings the first counts.
    wanted = {email.lower(): email for email in reversed(request.customer_emails)}
    wanted = {key: wanted[key] for key in unique(email.lower() for email in request.customer_emails)}
    created = [key for key in wanted if key not in model.customers]
    if created and request.require_existing_customer:
        raise Refusal(CUSTOMER_NOT_FOUND)
    new = device not in model.devices
    if new and not request.auto_create_device:
        raise Refusal(DEVICE_NOT_FOUND)
    if not request.validate_only:
        model.add_devices([device])
        for email in wanted.values():
            model.add_customer(email)
    customers = {key: model.customers[key] for key in wanted if key in model.customers}
    had = [key for key, customer in customers.items() if device in customer.now]
    begins = [(customer, device) for key, customer in customers.items() if key not in had]
    operation = commit(model, request, "assign", begins=begins)
    listed = {
        key: pb.CustomerAssigned(
            email=customers[key].email if key in customers else email,
            customer_id=customers[key].name if key in customers else "",
            was_created=key in created,
        )
        for key, email in wanted.items()
    }
    return pb.AssignDeviceResponse(
        success=True,
        message=f"Device successfully assigned to {len(wanted)} customer(s)",
        device_id=model.devices.get(device, ""),
        device_was_created=new,
        assigned_customers=listed.values(),
        already_assigned=[listed[key] for key in had],
        operation_id=operation,
    )


def transfer_devices(model: Organization, request: pb.TransferDevicesRequest) -> pb.TransferDevicesResponse:
    """Answers TransferDevices."""
    giver, taker = model.customer(request.from_customer_email), model.find(request.to_customer_email)
    created = taker is None
    if created and request.require_existing_customer:
        raise Refusal(CUSTOMER_NOT_FOUND)
    model.guard(giver, request.from_expected_revision)
    moved, skipped, reasons = parted(model, giver, request)
    if not request.validate_only:
        taker = model.add_customer(request.to_customer_email)
    remaining = len(giver.now) - len(moved)
    had = dict(taker.now) if taker else {}
    operation = commit(
        model,
        request,
        "transfer",
        ends=[(giver, device) for device in moved],
        begins=[(taker, device) for device in moved if device not in had] if taker else [],
    )
    return pb.TransferDevicesResponse(
        success=True,
        message=f"Successfully transferred {len(moved)} device(s)",
        from_customer_id=giver.name,
        to_customer_id=taker.name if taker else "",
        to_customer_was_created=created,
        transferred_devices=moved,
        skipped=skipped,
        skip_reasons=reasons,
        from_device_count=remaining,
        to_device_count=len(had.keys() | set(moved)),
        operation_id=operation,
        from_revision=giver.revision(),
        to_revision=taker.revision() if taker else "",
    )
