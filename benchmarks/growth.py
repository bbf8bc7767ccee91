"""`python -m benchmarks.growth`: how the time of calls grows with the work, the customer and the organisation.

Last, a customer of a million devices departs, and that is undone: the seconds, and the peak memory of the server.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from deviceassignment.v1 import device_assignment_pb2 as pb

from benchmarks import chart, report, servers
from benchmarks.fleet import Customers, Fleet, add, fill
from benchmarks.load import load
from benchmarks.report import compared
from benchmarks.works import ALL, FIRST, email, identifiers
from tests import postgres

RESULTS = Path(__file__).parent / "results-large.json"

_LARGE, _SIZED = FIRST + 6_000_000, FIRST + 7_000_000
_SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
_REPEATED, _SMALL_REPEATED = 3, 15
_FILLED = 20_000
_VIEWS = {"": pb.REMAINING_VIEW_FULL, ", count only": pb.REMAINING_VIEW_COUNT}


class Caller:
    """Makes single calls and times them."""

    def __init__(self, running: servers.Running, fleet: Fleet) -> None:
        self.stub = running.stub()
        self._metadata = (("x-api-key", fleet.key),)
        for _ in range(_SMALL_REPEATED):
            self.lookup(["none"])

    def unassign(self, number: int, wanted: list[str], view: Any = pb.REMAINING_VIEW_FULL) -> float:
        """Ends assignments and returns the seconds."""
        request = pb.UnassignDevicesRequest(
            customer_email=email(number), device_identifiers=wanted, remaining_view=view
        )
        took, answer = self.timed(self.stub.UnassignDevices, request)
        if list(answer.unassigned_devices) != wanted:
            raise AssertionError(f"{len(answer.unassigned_devices)} devices were unassigned, not {len(wanted)}")
        return took

    def large(self, calls: list[tuple[int, int]]) -> float:
        """Ends `ALL` assignments of each customer from a place on, and returns the median of the seconds."""
        return median(self.unassign(number, identifiers(number, ALL, first)) for number, first in calls)

    def lookup(self, wanted: list[str]) -> float:
        """Asks for owners and returns the seconds."""
        return self.timed(self.stub.LookupOwners, pb.LookupOwnersRequest(device_identifiers=wanted))[0]

    def timed(self, method: Callable[..., Any], request: Any) -> tuple[float, Any]:
        """Makes any call; returns the seconds and the answer."""
        started = time.monotonic()
        answer = method(request, metadata=self._metadata)
        return time.monotonic() - started, answer


def _sizes(caller: Caller, plots: dict[str, chart.Series]) -> None:
    """Ends 1 to `ALL` assignments of customers of twice as many, and five of customers of 10 to 1,000,000."""
    for place, (label, view) in enumerate(_VIEWS.items()):
        for size in (1, 10, 100, 1_000, 10_000, ALL):
            first = _LARGE + place * _REPEATED
            # Those of the smaller sizes are gone by then.
            wanted = [(number, identifiers(number, size, size)) for number in range(first, first + _REPEATED)]
            times = [caller.unassign(number, devices, view) for number, devices in wanted]
            plots["identifiers in the call"][f"UnassignDevices{label}"][size] = median(times)
        for number, size in enumerate(_SIZES, _SIZED):
            times = [caller.unassign(number, [one], view) for one in identifiers(number, 5, 5 * place)]
            plots["devices of the customer"][f"UnassignDevices, 1 id{label}"][size] = median(times)


def _depart(caller: Caller, running: servers.Running, number: int) -> list[str]:
    """Ends all assignments of a customer and undoes it; returns what it took."""
    notes = []
    page = caller.stub.ListAssignedDevices
    count = caller.timed(page, pb.ListAssignedDevicesRequest(customer_email=email(number), page_size=1))[1].total_count
    leave = pb.UnassignAllDevicesRequest(customer_email=email(number), expected_count=count)
    took, left = caller.timed(caller.stub.UnassignAllDevices, leave)
    notes.append(f"UnassignAllDevices of {count:,}: {took:.1f} s, peak {running.megabytes('VmHWM'):.0f} MB")
    undo = pb.RevertOperationRequest(operation_id=left.operation_id)
    took, undone = caller.timed(caller.stub.RevertOperation, undo)
    notes.append(f"RevertOperation of that: {took:.1f} s, peak {running.megabytes('VmHWM'):.0f} MB")
    if undone.reverted_count != count:
        raise AssertionError(f"{undone.reverted_count} of {count} assignments were reverted")
    return notes


def main(devices: int) -> None:
    """Measures all in one PostgreSQL, prints the comparisons and draws `growth.png`."""
    plots: dict[str, chart.Series] = defaultdict(lambda: defaultdict(dict))
    sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000, 10_000_000) if size <= devices]
    with postgres.running() as server, load() as generator:
        sized = [Customers(number, 1, size) for number, size in enumerate(_SIZES, _SIZED)]
        fleet = fill(generator, server.create(), [Customers(_LARGE, 3 * _REPEATED, 2 * ALL), *sized])
        with servers.service(fleet.url) as running:
            caller = Caller(running, fleet)
            _sizes(caller, plots)
            small = caller.large([(_LARGE + 2 * _REPEATED + again, 0) for again in range(_REPEATED)])
            number = _SIZED + len(_SIZES) - 1
            million = caller.large([(number, ALL * (again + 1)) for again in range(_REPEATED)])
            notes = _depart(caller, running, number)
        server.drop(fleet.url)

        fleet, last, there = fill(generator, server.create(), []), FIRST, 0
        for size in sizes:
            filled, rest = divmod(size - there, _FILLED)
            added = [Customers(last, rest // 20), Customers(last + rest // 20, filled, _FILLED)]
            last, there = last + rest // 20 + filled, size
            add(generator, fleet, [*added, Customers(last, _SMALL_REPEATED)])
            with servers.service(fleet.url) as running:
                caller = Caller(running, fleet)
                asked = range(last, last + _SMALL_REPEATED)
                times = [caller.unassign(number, identifiers(number, 10)) for number in asked]
                plots["devices of the organisation"]["UnassignDevices, 10 ids"][size] = median(times)
                spread = range(FIRST, last, max(1, (last - FIRST) // _SMALL_REPEATED))
                times = [caller.lookup(identifiers(number, 10, 10)) for number in spread]
                plots["devices of the organisation"]["LookupOwners, 10 ids"][size] = median(times)
            last += _SMALL_REPEATED
        add(generator, fleet, [Customers(_LARGE, _REPEATED, 2 * ALL)])
        with servers.service(fleet.url) as running:
            in_large = Caller(running, fleet).large([(_LARGE + again, 0) for again in range(_REPEATED)])
    name = f"UnassignDevices, {ALL:,} ids"
    results = [
        compared(f"{name}, of a customer of {_SIZES[-1]:,} beside one of {2 * ALL:,}", "s", million, small, 1.2),
        compared(f"{name}, in an organisation of {sizes[-1]:,} devices beside a small one", "s", in_large, small, 1.2),
    ]
    for series in plots.values():
        for label, points in series.items():
            shown = (f"{count:,}: {seconds * 1_000:,.1f} ms" for count, seconds in points.items())
            notes.append(f"{label}: {', '.join(shown)}")
    report.show(results, [*notes, report.machine()])
    report.write(results, RESULTS)
    chart.draw_growth(plots)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000_000, help="the largest organisation")
    report.interrupt_on_sigterm()
    main(parser.parse_args().devices)
