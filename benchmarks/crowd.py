"""What one organisation does to a server while another's calls are timed: `python -m benchmarks.crowd KIND PORT KEY`.

A process of its own, because it shares nothing with those who are timed. It prints a line when everything is sent, and
goes on until its standard input ends.
"""

from __future__ import annotations  # gRPC's classes are generic to the type checker alone

import subprocess
import sys
import threading
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1 import device_pb2
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

from benchmarks.works import ALL, FIRST, SERVICE, email, identifiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message

LARGE = FIRST + 5_000_000
"""The number of the customer with `ALL` devices whom these calls are about."""

_AT_ONCE, _WRITERS, _HALF_OPEN, _WATCHES, _REPLAYS = 16, 64, 100, 200, 50
_LOOKED_UP, _OWNERS, _PAGE, _OPERATIONS = 1_000, 100, 10_000, 5_000
_BULK = "/deviceassignment.v1.DeviceService/BulkUpdateDeviceMetadata"
_CHANNELS = 8
_LONGEST = 4 * 1024 * 1024

LOADS = {
    "previews": f"{_AT_ONCE} previews of {ALL:,} identifiers",
    "members": f"{_AT_ONCE} messages that are costly to parse",
    "writers": f"{_WRITERS} writers that wait for one customer",
    "half-open": f"{_HALF_OPEN} calls without their message",
    "watches": "as many watches as one organisation gets",
    "lookups": f"{_AT_ONCE} lookups of {_LOOKED_UP:,} devices with {_OWNERS} owners each",
    "pages": f"{_AT_ONCE} pages of {_PAGE:,} devices of a past moment",
    "operations": f"{_AT_ONCE} pages of {_PAGE:,} operations or changes",
    "replays": f"{_REPLAYS} streams that read old operations",
}
"""What the organisation does."""


class _Crowd:
    """Calls of one organisation, shared out among connections."""

    def __init__(self, port: int, api_key: str) -> None:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
        self._channels: list[Any] = [grpc.insecure_channel(f"127.0.0.1:{port}", options) for _ in range(_CHANNELS)]
        self._metadata = (("x-api-key", api_key),)
        self._kept: list[object] = []

    def run(self, kind: str) -> None:  # noqa: C901  # a case for each kind
        """Starts what a kind of load is."""
        unassign = pb.UnassignDevicesRequest(customer_email=email(LARGE))
        match kind:
            case "previews":
                unassign.device_identifiers.extend(identifiers(LARGE, ALL))
                unassign.validate_only = True
                self._repeat(("UnassignDevices", unassign))
            case "members":
                names = Struct(fields={f"{number}": Value(null_value=NULL_VALUE) for number in range(30_000)})
                updates = [device_pb2.DeviceMetadata(identifier="A", metadata=names)] * 9
                self._repeat(
                    ("UnassignDevices", b"\x12\0" * (_LONGEST // 2)),
                    ("UnassignDevices", b"\x12\x01x" * 299_000),
                    (_BULK, b"\x0a\0" * (_LONGEST // 2)),
                    (_BULK, device_pb2.BulkUpdateDeviceMetadataRequest(devices=updates)),
                )
            case "writers":
                unassign.device_identifiers.extend(identifiers(LARGE, 1))
                self._keep(_WRITERS, "UnassignDevices", unassign)
            case "half-open":
                self._keep(_HALF_OPEN, "LookupOwners", None)
            case "watches":
                self._keep(_WATCHES, "WatchOperations", pb.WatchOperationsRequest(from_now=True))
            case "lookups":
                devices = identifiers(LARGE, _LOOKED_UP)
                for number in range(_OWNERS):
                    owner = f"owner{number}@example.com"
                    assign = pb.AssignDevicesRequest(customer_email=owner, device_identifiers=devices)
                    self._call("AssignDevices", assign)
                self._repeat(("LookupOwners", pb.LookupOwnersRequest(device_identifiers=devices)))
            case "pages":
                request = pb.ListAssignedDevicesRequest(customer_email=email(LARGE), page_size=_PAGE)
                request.at.GetCurrentTime()
                self._repeat(("ListAssignedDevices", request))
            case "operations":
                self._operate()
                answer = self._call("ListOperations", pb.ListOperationsRequest(page_size=_PAGE))
                # The oldest one assigned devices to the large customer.
                oldest = pb.ListOperationsResponse.FromString(answer).operations[-1].operation_id
                changes = pb.ListOperationChangesRequest(operation_id=oldest, page_size=_PAGE)
                operations = pb.ListOperationsRequest(page_size=_PAGE)
                self._repeat(("ListOperations", operations), ("ListOperationChanges", changes))
            case "replays":
                self._operate()
                self._start(_REPLAYS, self._replay)

    def _replay(self, number: int) -> None:
        """Reads all old operations, and cancels the stream."""
        stream = self._method(number, "WatchOperations", "unary_stream")(b"", metadata=self._metadata)
        for _ in islice(stream, _OPERATIONS):
            pass
        stream.cancel()

    def _operate(self) -> None:
        """Makes operations."""
        assign, unassign = (
            kind(customer_email="owner@example.com", device_identifiers=identifiers(LARGE, 1))
            for kind in (pb.AssignDevicesRequest, pb.UnassignDevicesRequest)
        )
        for _ in range(_OPERATIONS // 2):
            self._call("AssignDevices", assign)
            self._call("UnassignDevices", unassign)

    def _call(self, method: str, request: Message) -> bytes:
        answer: bytes = self._method(0, method, "unary_unary")(request.SerializeToString(), metadata=self._metadata)
        return answer

    def _repeat(self, *calls: tuple[str, Message | bytes]) -> None:
        """Keeps calls in flight. Their answers are not parsed."""
        bodies = [(path, body if isinstance(body, bytes) else body.SerializeToString()) for path, body in calls]

        def call(number: int) -> None:
            path, body = bodies[number % len(bodies)]
            self._method(number, path, "unary_unary")(body, metadata=self._metadata)

        self._start(_AT_ONCE, call)

    def _keep(self, count: int, path: str, request: Message | None) -> None:
        """Begins calls that have no end; without a request, its message does not arrive either."""

        def nothing() -> Iterator[bytes]:
            threading.Event().wait()
            yield b""

        for number in range(count):
            if request is None:
                call = self._method(number, path, "stream_unary").future(nothing(), metadata=self._metadata)
            elif path == "WatchOperations":
                call = self._method(number, path, "unary_stream")(request.SerializeToString(), metadata=self._metadata)
            else:
                method = self._method(number, path, "unary_unary")
                call = method.future(request.SerializeToString(), metadata=self._metadata)
            self._kept.append(call)

    def _method(self, number: int, path: str, kind: str) -> Any:
        channel = self._channels[number % _CHANNELS]
        return getattr(channel, kind)(path if path.startswith("/") else SERVICE + path)

    @staticmethod
    def _start(count: int, call: Callable[[int], None]) -> None:
        """Repeats a call in so many threads. Refused ones come back soon, as a careless caller's do."""

        def again(number: int) -> None:
            while True:
                try:
                    call(number)
                except grpc.RpcError:
                    threading.Event().wait(0.05)

        for number in range(count):
            threading.Thread(target=again, args=(number,), daemon=True).start()


@contextmanager
def crowd(kind: str, port: int, api_key: str) -> Iterator[None]:
    """Has the calls of a kind under way while the block runs."""
    command = [sys.executable, "-m", "benchmarks.crowd", kind, str(port), api_key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if not process.stdout or process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"the calls of the kind {kind} could not be made")
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    started = _Crowd(int(sys.argv[2]), sys.argv[3])
    started.run(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.read()
