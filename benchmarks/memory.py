"""`python -m benchmarks.memory`: a million calls, each a real change, and the memory of the server meanwhile."""

import argparse
from contextlib import ExitStack
from pathlib import Path

from benchmarks import report, servers, signals
from benchmarks.fleet import fill
from benchmarks.load import Target, load
from benchmarks.report import compared
from benchmarks.rows import FLAT
from benchmarks.works import FIRST, assign, unassign
from tests import postgres

RESULTS = Path(__file__).parent / "results-memory.json"

_CUSTOMERS = 20_000
# By then all has been used that is kept for the next call.
_SETTLED_CALLS = 40_000


def main(calls: int) -> None:
    """Unassigns and assigns the same devices in turns, and compares the memory at the end with that near the start.

    Raises:
        AssertionError: the database does not have an operation of each call.
    """
    works = (unassign(10), assign(10, 0))
    customers = min(_CUSTOMERS, calls // 2)
    with ExitStack() as stack:
        server = stack.enter_context(postgres.running())
        generator = stack.enter_context(load())
        fleet = fill(server.create(), customers)
        running = stack.enter_context(servers.service(fleet.url))
        rest = running.megabytes()
        used = {0: rest}
        while max(used) < calls:
            work = works[len(used) % 2 - 1]
            target = Target(running.port, work.path, fleet.api_key)
            generator.calls(target, [work.request(FIRST + place) for place in range(customers)], in_flight=64)
            used[max(used) + customers] = running.megabytes()
            print(f"{max(used):>9,} calls: {used[max(used)]:.1f} MB")
        found = fleet.one(
            "SELECT (SELECT count(*) FROM operation WHERE kind <> 'import'),"
            " (SELECT count(*) FROM assignment_change WHERE revision > 1)"
        )
    if found != (max(used), 10 * max(used)):
        raise AssertionError(f"{max(used)} calls of 10 devices left {found} operations and changes")
    early = next(used[made] for made in used if made >= min(_SETTLED_CALLS, calls // 2))
    results = [compared(f"memory after {max(used):,} calls", "MB", used[max(used)], early, FLAT)]
    report.show(results, [f"at rest {rest:.1f} MB"], report.machine("of the tests", []))
    report.write(results, RESULTS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    signals.interrupt_on_sigterm()
    main(parser.parse_args().calls)
