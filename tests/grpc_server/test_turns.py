"""A call with a long list makes turns with the interpreter short, and its end makes them what they were."""

import sys
import time

import pytest

from service.runtime.chunks import SIZE
from tests.conftest import Tenant, failure
from tests.grpc_server.conftest import Run, eventually, held

USUAL = pytest.approx(0.005)
LONG = [f"d-{number}" for number in range(SIZE + 1)]


def test_turns_are_short_while_a_long_call_is_under_way_and_no_longer(run: Run, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", LONG[:1])
    running = run()
    with held(tenant.database, "ada@example.com"):
        not_long = running.unassigning(tenant, "ada@example.com", LONG[1:])
        eventually(lambda: running.calls == 1)
        time.sleep(0.2)  # by now it has read its list
        assert sys.getswitchinterval() == USUAL
    not_long.result()
    with held(tenant.database, "ada@example.com"):
        under_way = running.unassigning(tenant, "ada@example.com", LONG)
        eventually(lambda: sys.getswitchinterval() < 0.001)
    assert list(under_way.result().unassigned_devices) == LONG[:1]
    eventually(lambda: sys.getswitchinterval() == USUAL)


def test_a_long_call_that_is_refused_leaves_turns_as_they_were(run: Run, tenant: Tenant) -> None:
    running = run()
    refused = failure(lambda: running.client.unassign(tenant, "ada@example.com", [*LONG, "\n"]))
    assert refused.reason == "ERROR_REASON_INVALID_FIELDS"
    eventually(lambda: sys.getswitchinterval() == USUAL)
