"""`python -m benchmarks.growth`: how the time of calls grows with the work, the customer and the organisation."""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from deviceassignment.v1 import device_assignment_pb2 as pb

from benchmarks import chart, report, servers, signals
from benchmarks.fleet import Fleet, empty_fleet
from benchmarks.large import SIZE, stub
from benchmarks.report import Result, compared
from benchmarks.servers import Running
from benchmarks.works import FIRST, OWNED, email, identifiers
from tests import postgres

RESULTS = Path(__file__).parent / "results-large.json"

# Numbers of customers with many devices; the small ones begin at FIRST.
_LARGE, _MILLION = 7_000_000, 8_000_000
_MILLION_DEVICES = 1_000_000
_FILLED_AT_ONCE = 50_000
_REPEATED = 3
_SMALL_REPEATED = 15
_VIEWS = {"": pb.REMAINING_VIEW_FULL, ", count only": pb.REMAINING_VIEW_COUNT}

Series = dict[str, dict[int, float]]


class Caller:
    """Makes single calls and times them."""

    def __init__(self, running: Running, fleet: Fleet) -> None:
        self._stub = stub(running)
        self._metadata = (("x-api-key", fleet.api_key),)
        for _ in range(_SMALL_REPEATED):
            self.lookup(["none"])

    def unassign(self, number: int, wanted: list[str], view: Any = pb.REMAINING_VIEW_FULL) -> float:
        """Ends assignments and gives the seconds.

        Raises:
            AssertionError: not all of them were there.
        """
        request = pb.UnassignDevicesRequest(
            customer_email=email(number), device_identifiers=wanted, remaining_view=view
        )
        took, answer = self._timed(self._stub.UnassignDevices, request)
        if list(answer.unassigned_devices) != wanted:
            raise AssertionError(f"{len(answer.unassigned_devices)} devices were unassigned, not {len(wanted)}")
        return took

    def lookup(self, wanted: list[str]) -> float:
        """Asks for owners and gives the seconds."""
        return self._timed(self._stub.LookupOwners, pb.LookupOwnersRequest(device_identifiers=wanted))[0]

    def _timed(self, method: Callable[..., Any], request: Any) -> tuple[float, Any]:
        started = time.monotonic()
        answer = method(request, metadata=self._metadata)
        return time.monotonic() - started, answer


def _by_identifiers(caller: Caller) -> Series:
    """Ends 1 to 100,000 assignments of customers of 200,000."""
    series: Series = defaultdict(dict)
    for (label, view), number in zip(_VIEWS.items(), (_LARGE, _LARGE + _REPEATED), strict=True):
        for size in [*(size for size in (1, 10, 100, 1_000, 10_000) if size < SIZE), SIZE]:
            first = size  # those of the smaller sizes are gone by then
            times = [
                caller.unassign(number + again, identifiers(number + again, size, first), view)
                for again in range(_REPEATED)
            ]
            series[f"UnassignDevices{label}"][size] = median(times)
    return series


def _by_customer(caller: Caller, sizes: list[int]) -> Series:
    """Ends one assignment of customers of 10 to 1,000,000."""
    series: Series = defaultdict(dict)
    for place, size in enumerate(sizes):
        number = _MILLION + place
        for group, (label, view) in enumerate(_VIEWS.items()):
            ids = identifiers(number, 5, 5 * group)
            series[f"UnassignDevices, 1 id{label}"][size] = median(caller.unassign(number, [one], view) for one in ids)
    return series


def _by_organization(caller: Caller, last: int, size: int, series: Series) -> None:
    """Works on the newest customers and on old ones of an organisation that has so many devices now."""
    newest = range(last - _SMALL_REPEATED, last)
    times = [caller.unassign(number, identifiers(number, 10)) for number in newest]
    series["UnassignDevices, 10 ids"][size] = median(times)
    spread = range(FIRST, last, max(1, (last - FIRST) // _SMALL_REPEATED))
    series["LookupOwners, 10 ids"][size] = median(caller.lookup(identifiers(number, 10, 10)) for number in spread)


def _large_times(caller: Caller, calls: list[tuple[int, int]]) -> float:
    return median(caller.unassign(number, identifiers(number, SIZE, first)) for number, first in calls)


def main(devices: int) -> None:
    """Measures all three in one PostgreSQL, prints the comparisons and draws `growth.png`."""
    sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000, 10_000_000) if size <= devices]
    with ExitStack() as stack:
        server = stack.enter_context(postgres.running())
        fleet = empty_fleet(server.create())
        customers = [10, 100, 1_000, 10_000, 100_000, _MILLION_DEVICES]
        fleet.add(_LARGE, 3 * _REPEATED, owned=2 * SIZE)
        for place, owned in enumerate(customers):
            fleet.add(_MILLION + place, 1, owned=owned)
        fleet.settle()
        with servers.service(fleet.url) as running:
            caller = Caller(running, fleet)
            by_identifiers, by_customer = _by_identifiers(caller), _by_customer(caller, customers)
            small = _large_times(caller, [(_LARGE + 2 * _REPEATED + again, 0) for again in range(_REPEATED)])
            number = _MILLION + len(customers) - 1
            million = _large_times(caller, [(number, SIZE * (again + 1)) for again in range(_REPEATED)])
        server.drop(fleet.url)

        fleet, last = empty_fleet(server.create()), FIRST
        by_organization: Series = defaultdict(dict)
        for size in sizes:
            wanted = FIRST + size // OWNED
            while last < wanted:
                count = min(_FILLED_AT_ONCE, wanted - last)
                fleet.add(last, count)
                last += count
            fleet.settle()
            with servers.service(fleet.url) as running:
                _by_organization(Caller(running, fleet), last, size, by_organization)
        fleet.add(_LARGE, _REPEATED, owned=2 * SIZE)
        fleet.settle()
        with servers.service(fleet.url) as running:
            in_large = _large_times(Caller(running, fleet), [(_LARGE + again, 0) for again in range(_REPEATED)])
    name = f"UnassignDevices, {SIZE:,} ids"
    results = [
        compared(f"{name}, of a customer of {_MILLION_DEVICES:,} beside one of {2 * SIZE:,}", "s", million, small, 1.2),
        compared(f"{name}, in an organisation of {sizes[-1]:,} devices beside a small one", "s", in_large, small, 1.2),
    ]
    _show(results, by_identifiers, by_customer, by_organization)


def _show(results: list[Result], *plots: Series) -> None:
    parts = [
        f"{label}: " + ", ".join(f"{count:,}: {seconds * 1_000:,.1f} ms" for count, seconds in points.items())
        for series in plots
        for label, points in series.items()
    ]
    report.show(results, parts, report.machine("of the tests", []))
    report.write(results, RESULTS)
    chart.draw_growth(
        [
            ("identifiers in the call", plots[0]),
            ("devices of the customer", plots[1]),
            ("devices of the organisation", plots[2]),
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000_000, help="the largest organisation")
    signals.interrupt_on_sigterm()
    main(parser.parse_args().devices)
