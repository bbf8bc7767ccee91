"""The large call: 100,000 of a customer's 200,000 devices at once, through the service and from the bare driver."""

import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub
from sqlalchemy import make_url

from benchmarks import servers, trace
from benchmarks.bare import Workers
from benchmarks.catalogue import WORKS
from benchmarks.fleet import Fleet, fill
from benchmarks.servers import LARGE_MESSAGES, Running
from benchmarks.works import FIRST, email, identifiers
from tests.postgres import Postgres

SIZE = 100_000
WORK = WORKS[f"UnassignDevices, {SIZE:,} ids"]


def stub(running: Running) -> DeviceAssignmentServiceStub:
    """Makes a client that takes large answers."""
    return DeviceAssignmentServiceStub(grpc.insecure_channel(f"127.0.0.1:{running.port}", options=LARGE_MESSAGES))


def seconds(running: Running, fleet: Fleet, number: int) -> float:
    """Makes the call, after a small preview to warm up, and gives the seconds that it took.

    Raises:
        AssertionError: the answer is not what it should be.
    """
    client, metadata = stub(running), (("x-api-key", fleet.api_key),)
    preview = pb.UnassignDevicesRequest(
        customer_email=email(number),
        device_identifiers=identifiers(number, 10),
        validate_only=True,
        remaining_view=pb.REMAINING_VIEW_COUNT,
    )
    client.UnassignDevices(preview, metadata=metadata)
    request = WORK.request(number)
    started = time.monotonic()
    answer = client.UnassignDevices(request, metadata=metadata)
    took = time.monotonic() - started
    if len(answer.unassigned_devices) != SIZE:
        raise AssertionError(f"{len(answer.unassigned_devices)} devices were unassigned, not {SIZE}")
    return took


@dataclass(slots=True)
class Large:
    """Copies of one database on which the call is made again and again."""

    server: Postgres
    _fleet: Fleet | None = None
    _pattern: Any = None
    _samples: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def median(self, what: str) -> float:
        """Returns the median over the rounds: `service` and `bare` in seconds, `memory` in MB."""
        return median(self._samples[what])

    def prepare(self) -> None:
        """Makes the customer and records the call."""
        self._fleet = fill(self.server.create(), 1, owned=2 * SIZE)
        copy = self._copy()
        self._pattern = trace.record(copy, WORK, FIRST)
        self._drop(copy)

    def measure(self, workers: Workers) -> None:
        """Takes part in a round."""
        copy = self._copy()
        self._samples["bare"].append(workers.run(copy.url, [self._pattern.transaction], 0, 1).p50)
        self._drop(copy)
        copy = self._copy()
        with servers.service(copy.url) as running:
            self._samples["service"].append(seconds(running, copy, FIRST))
            self._samples["memory"].append(running.megabytes("VmHWM"))
        self._drop(copy)

    def _copy(self) -> Fleet:
        fleet = self._fleet
        if fleet is None:
            raise LookupError("nothing is prepared")
        return replace(fleet, url=self.server.create(make_url(fleet.url).database or ""))

    def _drop(self, copy: Fleet) -> None:
        found = copy.one(
            "SELECT (SELECT count(*) FROM operation WHERE kind = 'unassign'),"
            " (SELECT count(*) FROM assignment_change WHERE change = 2)"
        )
        if found != (1, SIZE):
            raise AssertionError(f"the call left {found} operations and changes, not {(1, SIZE)}")
        self.server.drop(copy.url)
