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

from benchmarks import report, servers
from benchmarks.fleet import Customers, fill
from benchmarks.load import load
from benchmarks.works import ALL, FIRST, email, identifiers, lookup

MOST_MILLISECONDS, MOST_COPIES = 1.5, 3

_WARM_CALLS = 100

Rest = Callable[[str, object], bytes]


def _small(ways: list[Callable[[], object]], calls: int) -> list[float]:
    """Calls in turns, so that what else the machine does is in both. Returns the medians, in milliseconds."""
    taken: list[list[float]] = [[] for _ in ways]
    for _ in range(calls + _WARM_CALLS):
        for way, times in zip(ways, taken, strict=True):
            started = time.perf_counter()
            way()
            times.append((time.perf_counter() - started) * 1000)
    return [median(times[_WARM_CALLS:]) for times in taken]


def _big(rest: Rest, gateway: servers.Running) -> str:
    """Makes one big call, of unknown devices. Returns what it took."""
    body = {"customerEmail": email(FIRST), "deviceIdentifiers": [f"SN-{number:027d}" for number in range(ALL)]}
    before = gateway.megabytes()
    Path(f"/proc/{gateway.pid}/clear_refs").write_text("5")  # the high-water mark begins anew
    started = time.perf_counter()
    answer = rest("unassignDevicesFromOwner", body)
    took = time.perf_counter() - started
    size, more = (len(json.dumps(body)) + len(answer)) / 2**20, gateway.megabytes("VmHWM") - before
    shown = f"{ALL:,} identifiers, {size:.1f} MiB of JSON in {took * 1000:.0f} ms, take {more:.1f} MiB at the peak"
    return f"{shown}: {more / size:.1f} copies (at most {MOST_COPIES})"


def main(calls: int) -> None:
    """Measures both, and prints them beside what is wanted."""
    with tempfile.TemporaryDirectory(prefix="da-benchmarks-") as folder, load() as generator:
        fleet = fill(generator, f"sqlite:///{folder}/gateway.db", [Customers(FIRST, 1)])
        with (
            servers.service(fleet.url) as service,
            servers.gateway(service.port) as gateway,
            closing(HTTPConnection("127.0.0.1", gateway.port)) as connection,
        ):

            def rest(method: str, body: object) -> bytes:
                headers = {"x-api-key": fleet.key, "content-type": "application/json"}
                connection.request("POST", f"/api/ext-v1/deviceAssignment/{method}", json.dumps(body), headers)
                answer = connection.getresponse()
                read = answer.read()
                if answer.status != 200:  # noqa: PLR2004  # HTTP's OK
                    raise RuntimeError(read)
                return read

            stub, request = service.stub(), lookup(1).request(FIRST)
            body = {"deviceIdentifiers": identifiers(FIRST, 1)}
            ways = [
                lambda: stub.LookupOwners(request, metadata=(("x-api-key", fleet.key),), timeout=60),
                lambda: rest("lookupOwners", body),
            ]
            direct, through = _small(ways, calls)
            big = _big(rest, gateway)
    added = f"the gateway adds {through - direct:.2f} ms (at most {MOST_MILLISECONDS})"
    print(f"a small call takes {direct:.2f} ms, and {through:.2f} ms through the gateway: {added}")
    print(big, report.machine(), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000)
    report.interrupt_on_sigterm()
    main(parser.parse_args().calls)
