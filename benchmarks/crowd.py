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

from benchmarks.works import FIRST, email, identifiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message

SIZE = 100_000
"""Identifiers of a preview."""

LARGE = FIRST + 5_000_000
"""The number of the customer whom the previews and the writers are about."""

PREVIEWS, WRITERS, HALF_OPEN, WATCHES = 16, 64, 100, 200
REPLAYS = 50

LOOKED_UP, OWNERS, PAGE = 1_000, 100, 10_000
"""Devices of a lookup, owners of each of these devices, and what a page lists at most."""

OPERATIONS = 5_000
"""Operations that the lists and the streams of operations begin with."""

_SERVICE = "/deviceassignment.v1.DeviceAssignmentService/"
_BULK = "/deviceassignment.v1.DeviceService/BulkUpdateDeviceMetadata"
_CHANNELS = 8
_LONGEST = 4 * 1024 * 1024


class _Crowd:
    """Calls of one organisation, shared out among connections."""

    def __init__(self, port: int, api_key: str) -> None:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
        self._channels: list[Any] = [grpc.insecure_channel(f"127.0.0.1:{port}", options) for _ in range(_CHANNELS)]
        self._metadata = (("x-api-key", api_key),)

    def previews(self) -> None:
        """Keeps previews of a long list in flight. The answers are not parsed."""
        request = pb.UnassignDevicesRequest(
            customer_email=email(LARGE), device_identifiers=identifiers(LARGE, SIZE), validate_only=True
        ).SerializeToString()

        self._repeat([(f"{_SERVICE}UnassignDevices", request)])

    def members(self) -> None:
        """Keeps messages in flight that are as long as may be and costly to parse, and are refused then."""
        names = Struct(fields={f"{number}": Value(null_value=NULL_VALUE) for number in range(30_000)})
        devices = [device_pb2.DeviceMetadata(identifier="A", metadata=names)] * 9
        self._repeat(
            [
                (f"{_SERVICE}UnassignDevices", b"\x12\0" * (_LONGEST // 2)),
                (f"{_SERVICE}UnassignDevices", b"\x12\x01x" * 299_000),
                (_BULK, b"\x0a\0" * (_LONGEST // 2)),
                (_BULK, device_pb2.BulkUpdateDeviceMetadataRequest(devices=devices).SerializeToString()),
            ]
        )

    def lookups(self) -> None:
        """Keeps lookups in flight of devices that have as many owners as an answer lists."""
        devices = identifiers(LARGE, LOOKED_UP)
        for number in range(OWNERS):
            request = pb.AssignDevicesRequest(customer_email=f"owner{number}@example.com", device_identifiers=devices)
            self._call("AssignDevices", request)
        lookup = pb.LookupOwnersRequest(device_identifiers=devices)
        self._repeat([(f"{_SERVICE}LookupOwners", lookup.SerializeToString())])

    def pages(self) -> None:
        """Keeps listings of a past moment in flight, with as many devices in a page as may be."""
        request = pb.ListAssignedDevicesRequest(customer_email=email(LARGE), page_size=PAGE)
        request.at.GetCurrentTime()
        self._repeat([(f"{_SERVICE}ListAssignedDevices", request.SerializeToString())])

    def operations(self) -> None:
        """Keeps listings of operations and of their changes in flight, in pages as long as may be."""
        self._operate()
        operations = pb.ListOperationsRequest(page_size=PAGE).SerializeToString()
        changes = pb.ListOperationChangesRequest(operation_id=f"op_{LARGE}", page_size=PAGE).SerializeToString()
        self._repeat([(f"{_SERVICE}ListOperations", operations), (f"{_SERVICE}ListOperationChanges", changes)])

    def replays(self) -> None:
        """Keeps streams open that read all operations there are, one time after the other."""
        self._operate()
        request = pb.WatchOperationsRequest().SerializeToString()

        def again(number: int) -> None:
            method = self._channels[number % _CHANNELS].unary_stream(f"{_SERVICE}WatchOperations")
            while True:
                try:
                    stream = method(request, metadata=self._metadata)
                    for _ in islice(stream, OPERATIONS):
                        pass
                    stream.cancel()
                except grpc.RpcError:
                    threading.Event().wait(0.05)

        for number in range(REPLAYS):
            threading.Thread(target=again, args=(number,), daemon=True).start()

    def _operate(self) -> None:
        """Makes operations, unless they are there."""
        request = pb.ListOperationsRequest(page_size=OPERATIONS).SerializeToString()
        answer = self._channels[0].unary_unary(f"{_SERVICE}ListOperations")(request, metadata=self._metadata)
        there = len(pb.ListOperationsResponse.FromString(answer).operations)
        assign, unassign = (
            kind(customer_email="owner@example.com", device_identifiers=identifiers(LARGE, 1))
            for kind in (pb.AssignDevicesRequest, pb.UnassignDevicesRequest)
        )
        for _ in range(there, OPERATIONS, 2):
            self._call("AssignDevices", assign)
            self._call("UnassignDevices", unassign)

    def _call(self, method: str, request: Message) -> None:
        self._channels[0].unary_unary(f"{_SERVICE}{method}")(request.SerializeToString(), metadata=self._metadata)

    def _repeat(self, calls: list[tuple[str, bytes]]) -> None:
        """Keeps calls in flight."""

        def again(number: int) -> None:
            path, request = calls[number % len(calls)]
            method = self._channels[number % _CHANNELS].unary_unary(path)
            while True:
                try:
                    method(request, metadata=self._metadata)
                except grpc.RpcError:
                    # Refused, as it may be; it comes back soon, as a careless caller does.
                    threading.Event().wait(0.05)

        for number in range(PREVIEWS):
            threading.Thread(target=again, args=(number,), daemon=True).start()

    def writers(self) -> list[object]:
        """Has writers wait for the customer, whom another session holds."""
        request = pb.UnassignDevicesRequest(customer_email=email(LARGE), device_identifiers=identifiers(LARGE, 1))
        return [
            self._channels[number % _CHANNELS]
            .unary_unary(f"{_SERVICE}UnassignDevices")
            .future(request.SerializeToString(), metadata=self._metadata)
            for number in range(WRITERS)
        ]

    def half_open(self) -> list[object]:
        """Begins calls whose message never comes."""

        def nothing() -> Iterator[bytes]:
            threading.Event().wait()
            yield b""

        return [
            self._channels[number % _CHANNELS]
            .stream_unary(f"{_SERVICE}LookupOwners")
            .future(nothing(), metadata=self._metadata)
            for number in range(HALF_OPEN)
        ]

    def watches(self) -> list[object]:
        """Asks for more streams of operations than a server has room for."""
        request = pb.WatchOperationsRequest(from_now=True).SerializeToString()
        return [
            self._channels[number % _CHANNELS].unary_stream(f"{_SERVICE}WatchOperations")(
                request, metadata=self._metadata
            )
            for number in range(WATCHES)
        ]


KINDS: dict[str, Callable[[_Crowd], object]] = {
    "previews": _Crowd.previews,
    "members": _Crowd.members,
    "writers": _Crowd.writers,
    "half-open": _Crowd.half_open,
    "watches": _Crowd.watches,
    "lookups": _Crowd.lookups,
    "pages": _Crowd.pages,
    "operations": _Crowd.operations,
    "replays": _Crowd.replays,
}


@contextmanager
def crowd(kind: str, port: int, api_key: str) -> Iterator[None]:
    """Has the calls of a kind under way while the block runs."""
    command = [sys.executable, "-m", "benchmarks.crowd", kind, str(port), api_key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            if not process.stdout or process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"the calls of the kind {kind} could not be made")
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    kept = KINDS[sys.argv[1]](_Crowd(int(sys.argv[2]), sys.argv[3]))
    print("ready", flush=True)
    sys.stdin.read()
