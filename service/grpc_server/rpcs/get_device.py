"""GetDevice."""

from deviceassignment.v1 import device_pb2 as pb

from service.domain.get_device import get_device
from service.grpc_server.fields import Fields
from service.grpc_server.rpcs.device_messages import write_device
from service.grpc_server.use_cases import UseCases


def handle(use_cases: UseCases, request: pb.GetDeviceRequest) -> pb.GetDeviceResponse:
    """Serves GetDevice."""
    fields = Fields()
    identifier = fields.identifier("identifier", request.identifier)
    fields.check()
    return write_device(use_cases.read(lambda uow: get_device(uow, identifier)), pb.GetDeviceResponse())
