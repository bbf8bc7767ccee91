"""`python -m benchmarks.workers`: two workers beside one, looking devices up; and what memory they take at rest."""

from __future__ import annotations  # gRPC's classes are generic to the type checker alone

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from sqlalchemy import text

from service.domain.import_lines import Line, read_lines
from service.domain.keys import SCOPES
from service.storage import bulk
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.organizations import Organizations
from tests import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

_METHOD = "/deviceassignment.v1.DeviceAssignmentService/LookupOwners"
_CUSTOMERS = 100
_DEVICES = 100  # of each customer
_CALLERS = 2  # processes
_CONNECTIONS = 8  # of each caller: the system deals connections out to the workers, not calls
_IN_FLIGHT = 4  # on each connection
_WARMING_SECONDS = 3.0
_START_SECONDS = 60.0
_REST_SECONDS = 2.0
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process takes, in MB: with what it shares (rss), with its part of that (pss), and without (uss)."""

    rss: float
    pss: float
    uss: float


def _prepare(url: str) -> str:
    """Fills a database. Gives an API key."""
    rows = [
        f"c{customer}@example.com,d-{customer}-{device},thermostat\n"
        for customer in range(_CUSTOMERS)
        for device in range(_DEVICES)
    ]
    lines = [
        line for line in read_lines(["customer_email,device_identifier,device_type\n", *rows]) if isinstance(line, Line)
    ]
    with closing(Database(url)) as database:
        organization = Organizations(database).create("benchmark").id
        bulk.import_lines(database, organization, lines, skip_bad_lines=False)
        with database.session() as connection:
            # Without statistics, which come by themselves within minutes, the first plans are bad.
            connection.execute(text("ANALYZE"))
        return Keys(database).create(organization, SCOPES, None)[1]


@contextmanager
def _serving(url: str, workers: int) -> Iterator[tuple[int, int]]:
    """Serves with so many workers. Gives the port and the process that was started."""
    command = [sys.executable, "-m", "service", "serve", "--grpc-address", "127.0.0.1:0", "--workers", str(workers)]
    event = "serving" if workers == 1 else "all workers serving"
    environment = {**os.environ, "DEVICE_ASSIGNMENT_DATABASE_URL": url, "DEVICE_ASSIGNMENT_LOG_FORMAT": "json"}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("w") as output, subprocess.Popen(command, stderr=output, env=environment) as process:
            try:
                yield _port(log, event, process), process.pid
            finally:
                process.terminate()


def _port(log: Path, event: str, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if f'"{event}"' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.02)
    raise RuntimeError(f"no server: {log.read_text()}")


def _memory(pid: int) -> list[Memory]:
    """Measures a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = []
    for process in (str(pid), *children):
        parts: dict[str, float] = {}
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]:
            name, kilobytes, _ = line.split()
            parts[name.rstrip(":")] = int(kilobytes) / 1024
        found.append(Memory(parts["Rss"], parts["Pss"], parts["Private_Clean"] + parts["Private_Dirty"]))
    return found


def _call(port: int, api_key: str, seconds: float) -> float:
    """Looks devices up for so long. Returns the calls a second. Any call that fails ends the benchmark."""
    requests = [
        pb.LookupOwnersRequest(device_identifiers=[f"d-{customer}-{device}"]).SerializeToString()
        for device in range(_DEVICES)
        for customer in range(_CUSTOMERS)
    ]
    metadata = (("x-api-key", api_key),)

    async def run() -> float:
        done, since, until = 0, time.monotonic() + _WARMING_SECONDS, time.monotonic() + _WARMING_SECONDS + seconds
        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) for _ in range(_CONNECTIONS)]

        async def one_after_the_other(channel: grpc.aio.Channel, first: int) -> None:
            nonlocal done
            lookup: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
            number = first
            while (now := time.monotonic()) < until:
                answer = await lookup(requests[number % len(requests)], metadata=metadata, timeout=_TIMEOUT_SECONDS)
                if number == first and pb.LookupOwnersResponse.FromString(answer).results[0].owner_count != 1:
                    raise AssertionError("the owner was not found")
                number += 1
                done += now >= since

        await asyncio.gather(
            *(
                one_after_the_other(channel, 997 * (_IN_FLIGHT * index + turn))
                for index, channel in enumerate(channels)
                for turn in range(_IN_FLIGHT)
            )
        )
        for channel in channels:
            await channel.close()
        return done / seconds

    return asyncio.run(run())


def main(rounds: int, seconds: float) -> None:
    """Measures one and two workers in turns, and prints the medians."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    memory: dict[int, list[list[Memory]]] = {1: [], 2: []}
    with (
        postgres.running() as server,
        # Not forked: gRPC does not outlive a fork.
        ProcessPoolExecutor(_CALLERS, multiprocessing.get_context("spawn")) as callers,
    ):
        url = server.fresh()
        api_key = _prepare(url)
        for _ in range(rounds):
            for workers, of_workers in rates.items():
                with _serving(url, workers) as (port, pid):
                    time.sleep(_REST_SECONDS)
                    memory[workers].append(_memory(pid))
                    calling = [callers.submit(_call, port, api_key, seconds) for _ in range(_CALLERS)]
                    of_workers.append(sum(future.result() for future in calling))
        server.drop(url)
    in_flight = _CALLERS * _CONNECTIONS * _IN_FLIGHT
    print(f"LookupOwners, 1 device, {in_flight} in flight, PostgreSQL, medians of {rounds} rounds in turns")
    for workers, of_workers in rates.items():
        print(f"  {workers} worker(s): {median(of_workers):,.0f}/s  {[round(rate) for rate in of_workers]}")
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    print(f"  ratio: {median(ratios):.2f}  {[round(ratio, 2) for ratio in ratios]}")
    print(f"memory at rest, MB; the load on the machine was {os.getloadavg()[0]:.1f} at the end")
    for workers, of_memory in memory.items():
        for index, name in enumerate(["the process"] if workers == 1 else ["supervisor", "worker 1", "worker 2"]):
            of_process = [measured[index] for measured in of_memory]
            shown = (f"{kind} {median(getattr(one, kind) for one in of_process):.0f}" for kind in ("rss", "pss", "uss"))
            print(f"  {workers} worker(s), {name}: {', '.join(shown)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    chosen = parser.parse_args()
    main(chosen.rounds, chosen.seconds)
