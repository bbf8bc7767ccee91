"""ListDevices."""

from deviceassignment.v1 import device_pb2 as pb

from service.domain.list_devices import list_devices, read_token
from service.grpc_server import call
from service.grpc_server.fields import Fields
from service.grpc_server.rpcs.device_messages import write_device
from service.grpc_server.use_cases import UseCases


def handle(use_cases: UseCases, request: pb.ListDevicesRequest) -> pb.ListDevicesResponse:
    """Serves ListDevices."""
    fields = Fields()
    limits = use_cases.page_limits(fields.page_size(request.page_size))
    after = fields.token(request.page_token, read_token, "")
    fields.check()
    page, token = use_cases.read(lambda uow: list_devices(uow, after, limits))
    call.count(listed=len(page))
    devices = [write_device(record, pb.Device()) for record in page]
    return pb.ListDevicesResponse(devices=devices, next_page_token=token)
