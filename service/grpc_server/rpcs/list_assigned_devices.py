"""ListAssignedDevices."""

from deviceassignment.v1 import device_assignment_pb2 as pb

from service.domain.list_assigned_devices import AssignedDevices, ListAssignedDevices, list_assigned_devices
from service.domain.tokens import PageToken
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.messages import write_instant
from service.grpc_server.use_cases import UseCases
from service.runtime.chunks import chunks


def handle(use_cases: UseCases, request: pb.ListAssignedDevicesRequest) -> pb.ListAssignedDevicesResponse:
    """Serves ListAssignedDevices."""
    fields = Fields()
    by_email, by_id = bool(request.customer_email), bool(request.customer_id)
    if by_email and by_id:
        fields.wrong("customer_id", "must not be given together with customer_email")
    if not (by_email or by_id or request.page_token):
        fields.wrong("customer_email", "is required, unless customer_id or page_token is given")
    query = ListAssignedDevices(
        customer=fields.email("customer_email", request.customer_email) if by_email else None,
        customer_id=request.customer_id,
        at=fields.instant("at", request.HasField("at"), request.at),
        limits=use_cases.page_limits(fields.page_size(request.page_size)),
        page_token=fields.token(request.page_token, PageToken.decode, None),
    )
    fields.check()
    page = use_cases.read(lambda uow: list_assigned_devices(uow, query))
    call.count(listed=len(page.devices))
    return _answer(page)


def _answer(page: AssignedDevices) -> pb.ListAssignedDevicesResponse:
    answer = pb.ListAssignedDevicesResponse(
        next_page_token=page.next_page_token, total_count=page.total_count, revision=page.revision
    )
    if page.as_of is not None:
        write_instant(answer.as_of, page.as_of)
    for chunk in chunks(page.devices):
        for device in chunk:
            listed = answer.devices.add(device_identifier=device.identifier, device_id=device.device_id)
            write_instant(listed.assigned_at, device.assigned_at)
    return answer
