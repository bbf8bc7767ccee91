"""`python -m benchmarks.gateway`: what the REST gateway adds to a small call, and what a big one takes."""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub
from rich.console import Console
from rich.table import Table

from benchmarks import servers
from service.domain.import_lines import Line, read_lines
from service.domain.keys import SCOPES
from service.storage import bulk, schema
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.organizations import Organizations

EMAIL = "ada@example.com"
BIG = 100_000
MOST_MILLISECONDS = 1.5
MOST_COPIES = 3

_PATH = "/api/ext-v1/deviceAssignment/"
_WARM_CALLS = 100


def _prepare(url: str) -> str:
    """Makes a customer with a device. Gives an API key."""
    with closing(Database(url)) as database:
        schema.upgrade(database)
        organization = Organizations(database).create("bench")
        rows = ("customer_email,device_identifier,device_type\n", f"{EMAIL},SN-1,lamp\n")
        lines = [line for line in read_lines(rows) if isinstance(line, Line)]
        bulk.import_lines(database, organization.id, lines, skip_bad_lines=False)
        return Keys(database).create(organization.id, SCOPES, None)[1]


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def _small(stub: DeviceAssignmentServiceStub, rest: Callable[[str, bytes], bytes], key: str, calls: int) -> list[float]:
    """Calls both in turns, so that what else the machine does is in both. Gives the medians, in milliseconds."""
    request = pb.LookupOwnersRequest(device_identifiers=["SN-1"])
    body = json.dumps({"deviceIdentifiers": ["SN-1"]}).encode()
    ways: list[Callable[[], object]] = [
        lambda: stub.LookupOwners(request, metadata=(("x-api-key", key),), timeout=60),
        lambda: rest("lookupOwners", body),
    ]
    taken = [[_milliseconds(way) for way in ways] for _ in range(calls + _WARM_CALLS)][_WARM_CALLS:]
    return [median(times) for times in zip(*taken, strict=True)]


def _big(rest: Callable[[str, bytes], bytes], gateway: servers.Running) -> tuple[float, float, float]:
    """Makes one big call. Gives the MiB of request and answer, those that it took beside, and its milliseconds."""
    identifiers = [f"SN-{number:027d}" for number in range(BIG)]
    body = json.dumps({"customerEmail": EMAIL, "deviceIdentifiers": identifiers}).encode()
    before = gateway.megabytes()
    Path(f"/proc/{gateway.pid}/clear_refs").write_text("5")  # the high-water mark begins anew
    started = time.perf_counter()
    answer = rest("unassignDevicesFromOwner", body)
    took = (time.perf_counter() - started) * 1000
    return (len(body) + len(answer)) / 2**20, gateway.megabytes("VmHWM") - before, took


def main(calls: int) -> None:
    """Measures both, and prints them beside what is wanted."""
    with tempfile.TemporaryDirectory(prefix="da-benchmarks-") as folder:
        url = f"sqlite:///{Path(folder, 'gateway.db')}"
        key = _prepare(url)
        with (
            servers.service(url) as service,
            servers.gateway(service.port) as gateway,
            grpc.insecure_channel(f"127.0.0.1:{service.port}") as channel,
            closing(HTTPConnection("127.0.0.1", gateway.port)) as connection,
        ):

            def rest(method: str, body: bytes) -> bytes:
                headers = {"x-api-key": key, "content-type": "application/json"}
                connection.request("POST", _PATH + method, body, headers)
                answer = connection.getresponse()
                read = answer.read()
                if answer.status != 200:  # noqa: PLR2004  # HTTP's OK
                    raise RuntimeError(read)
                return read

            direct, through = _small(DeviceAssignmentServiceStub(channel), rest, key, calls)
            size, took, milliseconds = _big(rest, gateway)
    table = Table("call", "measured", "wanted", title="REST gateway")
    table.add_row("small, gRPC directly, median", f"{direct:.2f} ms", "")
    table.add_row("the same through the gateway", f"{through:.2f} ms", "")
    table.add_row("so the gateway adds", f"{through - direct:.2f} ms", f"at most {MOST_MILLISECONDS} ms")
    table.add_row(f"{BIG:,} identifiers", f"{size:.1f} MiB JSON in {milliseconds:.0f} ms", "")
    table.add_row("takes, at its peak", f"{took:.1f} MiB: {took / size:.1f} copies", f"at most {MOST_COPIES} copies")
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000)
    main(parser.parse_args().calls)
