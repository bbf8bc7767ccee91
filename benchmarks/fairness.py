"""`python -m benchmarks.fairness`: small calls of one organisation beside what another one does.

The p99 is that of all rounds together, beside the same calls alone. It may be at most five times as long, or 50 ms
where that is more.
"""

import argparse
import asyncio
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import psycopg
from deviceassignment.v1 import device_assignment_pb2 as pb

from benchmarks import report, servers
from benchmarks.crowd import LARGE, LOADS, crowd
from benchmarks.fleet import Customers, Fleet, copied, fill, plain
from benchmarks.load import Load, load
from benchmarks.report import Result, compared
from benchmarks.works import ALL, FIRST, SERVICE, email, lookup, unassign
from tests import postgres
from tests.postgres import Postgres

GIVE_UP_SECONDS = 5.0
"""A call that is refused, or not answered after so long, counts as answered after so long."""

_CALLS = ((lookup(1), 50), (unassign(10), 25))
_OPENED_A_SECOND = 3
_SECONDS = 3
_SETTLE_SECONDS = 1.0
_TIMES, _LEAST_SECONDS = 5, 0.05


class _Steady(NamedTuple):
    """Calls of a method at a steady rate, each when it is due; of a stream, the time is that until it is open."""

    path: str
    bodies: list[bytes]
    rate: float
    streams: bool = False


class Fairness:
    """A database with two organisations: a busy one, and another one whose calls are timed.

    Args:
        server: PostgreSQL.
        load: fills the database.
        code: the folder of another version of this project, to be measured instead of this one.
    """

    def __init__(self, server: Postgres, load: Load, code: Path | None = None) -> None:
        customers = _SECONDS * max(rate for _, rate in _CALLS)
        busy, other = [Customers(LARGE, 1, ALL)], [Customers(FIRST, customers)]
        self._server = server
        self._fleet = fill(load, server.create(), busy, other, code=code)
        self._samples: dict[tuple[str, str], list[float]] = defaultdict(list)

    def measure(self, kinds: Sequence[str]) -> None:
        """Takes part in a round: alone, and beside each kind of load."""
        for kind in ("alone", *kinds):
            # A server of its own, because some loads are hard to recover from.
            with copied(self._server, self._fleet) as copy, ExitStack() as stack:
                running = stack.enter_context(servers.service(copy.url, code=copy.code))
                stack.enter_context(_held(copy) if kind == "writers" else nullcontext())
                if kind != "alone":
                    stack.enter_context(crowd(kind, running.port, copy.key))
                    time.sleep(_SETTLE_SECONDS)
                for what, seconds in zip(_names(), _timed(running.port, copy.keys[1]), strict=True):
                    self._samples[what, kind] += seconds

    def results(self, kinds: Sequence[str]) -> list[Result]:
        """Makes the lines of the table."""
        results = []
        for kind in kinds:
            for what in _names():
                # A call that was given up never holds, however long a call alone takes on a busy machine.
                limit = min(max(_TIMES * self._p99(what, "alone"), _LEAST_SECONDS), GIVE_UP_SECONDS - 0.001)
                work = f"another organisation's {what}, p99 beside {LOADS[kind]}"
                results.append(compared(work, "ms", self._p99(what, kind), limit, 1))
        return results

    def _p99(self, what: str, kind: str) -> float:
        times = sorted(self._samples[what, kind])
        return times[len(times) * 99 // 100]


def _names() -> list[str]:
    return [*(work.name for work, _ in _CALLS), "opening a watch"]


@contextmanager
def _held(fleet: Fleet) -> Iterator[None]:
    """Holds the large customer's row from a session of its own, as a long import does."""
    with psycopg.connect(plain(fleet.url)) as connection:
        connection.execute("SELECT FROM customer WHERE email_key = %s FOR UPDATE", [email(LARGE)])
        yield


def _timed(port: int, api_key: str) -> list[list[float]]:
    """Makes the calls of all kinds beside each other, and returns the seconds that each took."""
    kinds = []
    for work, rate in _CALLS:
        numbers = range(FIRST, FIRST + rate * _SECONDS)
        kinds.append(_Steady(work.path, [work.request(number).SerializeToString() for number in numbers], rate))
    watch = pb.WatchOperationsRequest(from_now=True).SerializeToString()
    bodies = [watch] * _OPENED_A_SECOND * _SECONDS
    kinds.append(_Steady(SERVICE + "WatchOperations", bodies, _OPENED_A_SECOND, streams=True))
    # Not forked: gRPC does not outlive a fork.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        return executor.submit(_run, port, api_key, kinds).result()


def _run(port: int, api_key: str, kinds: list[_Steady]) -> list[list[float]]:
    async def run() -> list[list[float]]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), GIVE_UP_SECONDS)
            return list(await asyncio.gather(*(_steady(channel, (("x-api-key", api_key),), kind) for kind in kinds)))

    return asyncio.run(run())


async def _steady(channel: Any, metadata: Any, kind: _Steady) -> list[float]:
    method = (channel.unary_stream if kind.streams else channel.unary_unary)(kind.path)
    start = time.monotonic()

    async def one(place: int, body: bytes) -> float:
        due = start + place / kind.rate
        await asyncio.sleep(due - time.monotonic())
        try:
            call = method(body, metadata=metadata, timeout=GIVE_UP_SECONDS)
            if kind.streams:
                if await call.initial_metadata() is None or call.done():
                    return GIVE_UP_SECONDS
                call.cancel()
            else:
                await call
        except grpc.aio.AioRpcError:
            return GIVE_UP_SECONDS
        return min(time.monotonic() - due, GIVE_UP_SECONDS)

    return list(await asyncio.gather(*(one(place, body) for place, body in enumerate(kind.bodies))))


def main(rounds: int, before: Path | None, kinds: Sequence[str]) -> None:
    """Measures, and prints the table."""
    with postgres.running() as server, load() as generator:
        codes = [before, None] if before else [None]
        sides = [Fairness(server, generator, code) for code in codes]
        for _ in range(rounds):
            for side in sides:
                side.measure(kinds)
    for side, code in zip(sides, codes, strict=True):
        report.show(side.results(kinds), [f"{rounds} rounds of {code or 'this version'}", report.machine()])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="the folder of another version, to be measured beside this one")
    parser.add_argument("--load", choices=LOADS, action="append", help="only this one; may be repeated")
    arguments = parser.parse_args()
    report.interrupt_on_sigterm()
    main(arguments.rounds, arguments.before and arguments.before.resolve(), arguments.load or list(LOADS))
