"""Times calls that may never be answered, from a process of its own."""

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import grpc

GIVE_UP_SECONDS = 5.0
"""After this long a call counts as answered: as late as that, and not in vain."""


class Stream(NamedTuple):
    """Calls of a method at a steady rate, each as it is due, whatever becomes of the others."""

    path: str
    bodies: list[bytes]
    rate: float
    answers: bool = False
    """Whether the method streams its answers; then it is timed until the stream is open."""


def timed(port: int, api_key: str, streams: list[Stream]) -> list[list[float]]:
    """Makes the calls of all streams beside each other, and gives the seconds that each took.

    A call that is refused, or not answered in time, took as long as the time-out.
    """
    # Not forked: gRPC does not outlive a fork.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        return executor.submit(_run, port, api_key, streams).result()


def _run(port: int, api_key: str, streams: list[Stream]) -> list[list[float]]:
    return asyncio.run(_all(port, api_key, streams))


async def _all(port: int, api_key: str, streams: list[Stream]) -> list[list[float]]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await asyncio.wait_for(channel.channel_ready(), GIVE_UP_SECONDS)
        metadata = (("x-api-key", api_key),)
        return list(await asyncio.gather(*(_stream(channel, metadata, stream) for stream in streams)))


async def _stream(channel: Any, metadata: Any, stream: Stream) -> list[float]:
    method = (channel.unary_stream if stream.answers else channel.unary_unary)(stream.path)
    start = time.monotonic()

    async def one(place: int, body: bytes) -> float:
        due = start + place / stream.rate
        await asyncio.sleep(due - time.monotonic())
        try:
            call = method(body, metadata=metadata, timeout=GIVE_UP_SECONDS)
            if stream.answers:
                if await call.initial_metadata() is None or call.done():
                    return GIVE_UP_SECONDS
                call.cancel()
            else:
                await call
        except grpc.aio.AioRpcError:
            return GIVE_UP_SECONDS
        return min(time.monotonic() - due, GIVE_UP_SECONDS)

    return list(await asyncio.gather(*(one(place, body) for place, body in enumerate(stream.bodies))))
