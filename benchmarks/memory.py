"""`python -m benchmarks.memory`: a million calls, each a real change, and the memory of the server meanwhile."""

import argparse
from pathlib import Path

from benchmarks import report, servers
from benchmarks.fleet import Customers, fill
from benchmarks.load import load
from benchmarks.report import compared
from benchmarks.works import FIRST, assign, unassign
from tests import postgres

RESULTS = Path(__file__).parent / "results-memory.json"

_CUSTOMERS = 20_000
# By then all has been used that is kept for the next call.
_SETTLED_CALLS = 40_000
_FLAT = 1.05


def main(calls: int) -> None:
    """Unassigns and assigns the same devices in turns, and compares the memory at the end with that near the start."""
    works = (unassign(10), assign(10, 0))
    customers = min(_CUSTOMERS, calls // 2)
    with postgres.running() as server, load() as generator:
        fleet = fill(generator, server.create(), [Customers(FIRST, customers)])
        with servers.service(fleet.url) as running:
            used = {0: running.megabytes()}
            while max(used) < calls:
                work = works[len(used) % 2 - 1]
                requests = [work.request(FIRST + place) for place in range(customers)]
                generator.calls(running.port, work.path, fleet.key, requests, in_flight=64)
                used[max(used) + customers] = running.megabytes()
                print(f"{max(used):>9,} calls: {used[max(used)]:.1f} MB")
        fleet.check(max(used), 10 * max(used))
    early = next(used[made] for made in used if made >= min(_SETTLED_CALLS, calls // 2))
    results = [compared(f"memory after {max(used):,} calls", "MB", used[max(used)], early, _FLAT)]
    report.show(results, [f"at rest {used[0]:.1f} MB", report.machine()])
    report.write(results, RESULTS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    report.interrupt_on_sigterm()
    main(parser.parse_args().calls)
