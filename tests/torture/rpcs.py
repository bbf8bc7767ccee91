"""The calls that clients make: the message of each request, and the stub that sends it."""

from dataclasses import dataclass
from typing import Any

import grpc
from deviceassignment.v1 import customer_pb2, device_assignment_pb2, device_pb2
from deviceassignment.v1.customer_pb2_grpc import CustomerServiceStub
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub
from deviceassignment.v1.device_pb2_grpc import DeviceServiceStub
from google.protobuf.message import Message

_MODULES: tuple[Any, ...] = (device_assignment_pb2, customer_pb2, device_pb2)

# These statuses leave open whether the call took effect. Every other status promises that it changed nothing.
UNKNOWN_OUTCOMES = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN", "INTERNAL"}


@dataclass(frozen=True)
class Command:
    """A request to be sent, perhaps several times.

    Attributes:
        number: unique in the run; a write's note has it, so the operation in the database names its command.
        rpc: the method's name.
        request: its message.
        timeout: the deadline of each attempt, in seconds.
    """

    number: int
    rpc: str
    request: Any
    timeout: float

    @property
    def repeatable(self) -> bool:
        """Whether the request may be sent again without being done twice."""
        return bool(getattr(self.request, "request_id", ""))


def request(rpc: str, **fields: Any) -> Message:
    """Makes a request's message."""
    for module in _MODULES:
        if hasattr(module, f"{rpc}Request"):
            made: Message = getattr(module, f"{rpc}Request")(**fields)
            return made
    raise LookupError(rpc)


class Stubs:
    """One client's connection to the service.

    Args:
        address: `host:port`.
        api_key: the organisation's.
    """

    def __init__(self, address: str, api_key: str) -> None:
        self.metadata = (("x-api-key", api_key),)
        self.channel = grpc.insecure_channel(
            address,
            (
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_http_proxy", 0),
                ("grpc.enable_retries", 0),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 500),
                ("grpc.max_reconnect_backoff_ms", 1_000),
            ),
        )
        self._stubs: list[Any] = [
            DeviceAssignmentServiceStub(self.channel),
            CustomerServiceStub(self.channel),
            DeviceServiceStub(self.channel),
        ]

    def method(self, rpc: str) -> Any:
        """Returns the callable of an rpc."""
        return next(getattr(stub, rpc) for stub in self._stubs if hasattr(stub, rpc))
