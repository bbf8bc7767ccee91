"""Calls that are repeated as soon as they are refused, and checks of health without a pause: others do not wait."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from service.grpc_server.refusals import Pace
from tests.conftest import Tenant
from tests.grpc_server.conftest import Run, eventually, health_of, raw
from tests.grpc_server.test_half_open import LOOKUP, checks, looks_up

CHECK = "/grpc.health.v1.Health/Check"
IN_FLIGHT = 90
"""On one connection. With nearly as many as it may have streams, gRPC would refuse some before we see them."""
PER_SECOND = 200

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Flood:
    """Keeps calls in flight on a connection of its own, each repeated when it has ended."""

    def __init__(self, port: int, method: str, metadata: Any) -> None:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
        self.ended: Counter[str] = Counter()
        self.in_flight: set[Any] = set()
        self._rpc: Any = self.channel.unary_unary(method)
        self._metadata = metadata
        self._lock = threading.Lock()
        self._over = False

    def start(self) -> None:
        """Sends the first calls."""
        for _ in range(IN_FLIGHT):
            self._send()

    def stop(self) -> None:
        """Sends no more."""
        self._over = True

    def close(self) -> None:
        """Waits for the last calls, and closes the connection."""
        self.stop()
        eventually(lambda: not self.in_flight)
        self.channel.close()

    def _send(self) -> None:
        call: Any = self._rpc.future(b"", metadata=self._metadata, timeout=120)
        with self._lock:
            self.in_flight.add(call)
        call.add_done_callback(self._end)

    def _end(self, call: Any) -> None:
        with self._lock:
            self.in_flight.discard(call)
            self.ended[call.code().name] += 1
        if not self._over:
            self._send()


@contextmanager
def flood(port: int, method: str, metadata: Any = ()) -> Iterator[Flood]:
    """Begins a flood, and ends it."""
    one = Flood(port, method, metadata)
    one.start()
    yield one
    one.close()


@on_sqlite
@pytest.mark.parametrize("method", [LOOKUP, "/a.b/C"])
def test_a_connection_whose_calls_are_refused_is_slowed_down_and_no_other(
    run: Run, tenant: Tenant, other: Tenant, method: str
) -> None:
    other.assign("ada@example.com", ["A"])
    running = run()
    began = time.monotonic()
    with flood(running.port, method) as refused:
        eventually(lambda: refused.ended.total() > 2 * PER_SECOND)
        for _ in range(5):
            assert looks_up(running.client, other)
        # Refused in turn: behind one of those that wait on the other connection, not behind all.
        before = refused.ended.total()
        with pytest.raises(grpc.RpcError) as caught:
            raw(running.client).unary_unary(LOOKUP)(b"", timeout=60)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert refused.ended.total() - before < IN_FLIGHT / 2
        eventually(lambda: refused.ended.total() > 4 * PER_SECOND)
    assert len(refused.ended) == 1
    assert refused.ended.total() <= PER_SECOND * (1 + time.monotonic() - began) + 1


@on_sqlite
def test_checks_of_health_without_a_pause_end_no_other_check(run: Run, tenant: Tenant) -> None:
    running = run()
    began = time.monotonic()
    with flood(running.port, CHECK) as one, flood(running.port, CHECK) as two:
        eventually(lambda: one.ended.total() > 3 * PER_SECOND)
        for _ in range(20):
            assert checks(running.client)
    assert set(one.ended) == set(two.ended) == {"OK"}
    assert one.ended.total() + two.ended.total() <= 500 * (1 + time.monotonic() - began) + 30


@on_sqlite
def test_a_stop_does_not_wait_for_the_pace_of_refusals(run: Run, tenant: Tenant) -> None:
    running = run()
    refusals = running.service._server.reception._refusals
    refusals.pace = Pace(1, 0.001)
    with flood(running.port, LOOKUP) as refused:
        eventually(lambda: refusals.pending > IN_FLIGHT / 2)
        refused.stop()
        assert running.stop()
    assert set(refused.ended) <= {"UNAUTHENTICATED", "UNAVAILABLE"}


def test_a_pace_allows_a_burst_and_then_so_many_a_second() -> None:
    pace = Pace(10, 100)
    began = time.monotonic()
    for _ in range(30):
        pace.wait()
    assert time.monotonic() - began >= 0.2 - 0.01
    pace = Pace(1, 0.001)
    pace.stop()
    for _ in range(30):
        pace.wait()


@on_sqlite
def test_a_flood_on_one_connection_takes_no_place_of_another(run: Run, tenant: Tenant) -> None:
    running = run()
    with flood(running.port, CHECK):
        stub = health_of(running.client)
        answers = [stub.Check.future(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(50)]
        assert {answer.result().status for answer in answers} == {health_pb2.HealthCheckResponse.SERVING}
