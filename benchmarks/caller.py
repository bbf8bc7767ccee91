"""Makes calls from Python, in a process of its own: what `load.py` falls back to."""

import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import grpc

_TIMEOUT_SECONDS = 120.0


class Made(NamedTuple):
    """The calls to make; see `load.Load.calls`."""

    port: int
    path: str
    api_key: str
    bodies: list[bytes]
    in_flight: int
    warming: int
    rate: float


def in_a_process(made: Made) -> dict[str, Any]:
    """Makes them, and gives what the program in `load/` prints. Not forked: gRPC does not outlive a fork."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        return executor.submit(_run, made).result()


def _run(made: Made) -> dict[str, Any]:
    return asyncio.run(_calls(made))


async def _calls(made: Made) -> dict[str, Any]:
    starts, took = [0.0] * len(made.bodies), [0.0] * len(made.bodies)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{made.port}") as channel:
        method: Any = channel.unary_unary(made.path)

        async def one(index: int) -> None:
            starts[index] = time.time()
            began = time.monotonic()
            metadata = (("x-api-key", made.api_key),)
            await method(made.bodies[index], metadata=metadata, timeout=_TIMEOUT_SECONDS)
            took[index] = time.monotonic() - began

        await _closed(one, range(made.warming), made.in_flight)
        timed = range(made.warming, len(made.bodies))
        cpu, start = time.process_time(), time.monotonic()
        if made.rate:
            await _open(one, timed, made.rate)
        else:
            await _closed(one, timed, made.in_flight)
        seconds = time.monotonic() - start
        cpu = time.process_time() - cpu
    latencies = sorted(took[made.warming :])
    return {
        "rate": len(timed) / seconds,
        "p50": latencies[len(timed) // 2] * 1e6,
        "p99": latencies[len(timed) * 99 // 100] * 1e6,
        "cpu": cpu / len(timed) * 1e6,
        "starts": [moment * 1e6 for moment in starts[made.warming :]],
        "took": [seconds * 1e6 for seconds in took[made.warming :]],
    }


async def _closed(one: Callable[[int], Awaitable[None]], indexes: range, in_flight: int) -> None:
    left = iter(indexes)

    async def several() -> None:
        for index in left:
            await one(index)

    await asyncio.gather(*(several() for _ in range(in_flight)))


async def _open(one: Callable[[int], Awaitable[None]], indexes: range, rate: float) -> None:
    start = time.monotonic()

    async def due(place: int, index: int) -> None:
        await asyncio.sleep(start + place / rate - time.monotonic())
        await one(index)

    await asyncio.gather(*(due(place, index) for place, index in enumerate(indexes)))
