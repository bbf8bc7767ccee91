"""What the gateway serves: the rpcs of `method_table` that have a path. All else is in the descriptors."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2

from service.method_table import HTTP_PREFIX, RPCS, RequestLimits

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

PREFIX = HTTP_PREFIX


_METHODS: dict[str, "MethodDescriptor"] = {
    method.full_name: method
    for file in (device_assignment_pb2, customer_pb2, device_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


@dataclass(frozen=True, slots=True)
class Route:
    """How an rpc is reached over HTTP.

    A POST has the request message as its JSON body. A GET has the message's fields in the path, and those that are not
    there in the query. An rpc that streams its answers is served as server-sent events.

    Attributes:
        http_method: `GET` or `POST`.
        path: below `PREFIX`; `{name}` is the request's field of that name.
        rpc: the full name of the rpc's descriptor, `package.Service.Method`.
        map_field: a list of the request that JSON has as an object: from the first field of each member to its second.
        limits: how much the body may have.
    """

    http_method: Literal["GET", "POST"]
    path: str
    rpc: str
    map_field: str
    limits: RequestLimits

    @property
    def full_path(self) -> str:
        """The path, with `PREFIX`."""
        return PREFIX + self.path

    @property
    def method(self) -> "MethodDescriptor":
        """The rpc's descriptor."""
        return _METHODS[self.rpc]


ROUTES: tuple[Route, ...] = tuple(
    Route(rpc.http_method, rpc.path, name.replace("/", "."), rpc.map_field, rpc.limits)
    for name, rpc in RPCS.items()
    if rpc.http_method is not None
)
