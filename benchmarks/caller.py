"""The gRPC client, in a process of its own."""

import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub
from google.protobuf.empty_pb2 import Empty

from benchmarks.empty import METHOD, SERVICE
from benchmarks.work import Work

_TIMEOUT_SECONDS = 30.0

Answered = Callable[[int], Awaitable[None]]


class Caller:
    """A process that calls."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor

    def unassign(self, port: int, api_key: str, work: Work) -> float:
        """Makes the calls of a work, and gives the seconds that those after the warming took."""
        return self._executor.submit(_unassign, port, api_key, work).result()

    def nothing(self, port: int, work: Work) -> float:
        """Makes as many empty calls in the same way."""
        return self._executor.submit(_nothing, port, work).result()


@contextmanager
def caller() -> Iterator[Caller]:
    """Starts the process. Not forked: gRPC does not outlive a fork."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        yield Caller(executor)


def _unassign(port: int, api_key: str, work: Work) -> float:
    requests = [
        pb.UnassignDevicesRequest(customer_email=call.customer_email, device_identifiers=call.identifiers)
        for call in work.calls
    ]
    metadata = (("x-api-key", api_key),)

    async def run() -> float:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = DeviceAssignmentServiceStub(channel)

            async def one(index: int) -> None:
                answer = await stub.UnassignDevices(requests[index], metadata=metadata, timeout=_TIMEOUT_SECONDS)
                if len(answer.devices_remaining) != answer.devices_remaining_count:
                    raise AssertionError("the remaining list is not whole")

            return await _seconds(one, work)

    return asyncio.run(run())


def _nothing(port: int, work: Work) -> float:
    async def run() -> float:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            nothing = channel.unary_unary(
                f"/{SERVICE}/{METHOD}",
                request_serializer=Empty.SerializeToString,
                response_deserializer=Empty.FromString,
            )

            async def one(_index: int) -> None:
                await nothing(Empty(), timeout=_TIMEOUT_SECONDS)

            return await _seconds(one, work)

    return asyncio.run(run())


async def _seconds(one: Answered, work: Work) -> float:
    async def several(indexes: Iterator[int]) -> None:
        for index in indexes:
            await one(index)

    async def share(indexes: range) -> None:
        left = iter(indexes)
        await asyncio.gather(*(several(left) for _ in range(work.in_flight)))

    await share(range(work.warming))
    start = time.monotonic()
    await share(range(work.warming, len(work.calls)))
    return time.monotonic() - start
