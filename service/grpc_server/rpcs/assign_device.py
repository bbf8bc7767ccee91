"""AssignDevice."""

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.assign_device import (
    AssignDevice,
    CustomerAssigned,
    DeviceAssignedToCustomers,
    assign_device,
)
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.use_cases import UseCases

MAX_CUSTOMERS = 1_000


def handle(use_cases: UseCases, request: pb.AssignDeviceRequest) -> pb.AssignDeviceResponse:
    """Serves AssignDevice."""
    fields = Fields()
    command = AssignDevice(
        identifier=fields.identifier("device_identifier", request.device_identifier),
        customers=fields.emails("customer_emails", request.customer_emails, MAX_CUSTOMERS),
        options=fields.options(request, call.key_id()),
        auto_create_device=request.auto_create_device,
        device_type=fields.type_of_new_devices(request.device_type, required=request.auto_create_device),
        require_existing_customer=request.require_existing_customer,
        with_stored_emails=call.has_optional_scopes(),
    )
    fields.check()
    answer = use_cases.write(pb.AssignDeviceResponse, command, assign_device, _answer)
    call.count(requested=len(command.customers), assigned=len(answer.assigned_customers) - len(answer.already_assigned))
    return answer


def _answer(result: DeviceAssignedToCustomers) -> pb.AssignDeviceResponse:
    return pb.AssignDeviceResponse(
        success=True,
        message=f"Device successfully assigned to {len(result.customers)} customer(s)",
        device_id=result.device_id,
        device_was_created=result.device_was_created,
        assigned_customers=map(_customer, result.customers),
        already_assigned=map(_customer, result.already_assigned),
        operation_id=result.operation_id,
    )


def _customer(customer: CustomerAssigned) -> pb.CustomerAssigned:
    return pb.CustomerAssigned(email=customer.email, customer_id=customer.customer_id, was_created=customer.was_created)
