"""Calls of every kind from several threads, whose answers are known."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import Tenant
from tests.grpc_server.api.client import Api

DEVICES = 10


def story(api: Api, tenant: Tenant, name: str, rounds: int) -> int:
    """Assigns devices to a customer, looks at them and ends the assignments. Returns the number of calls."""
    email = f"{name}@example.com"
    identifiers = [f"{name}-{number}" for number in range(DEVICES)]
    for turn in range(rounds):
        assigned = api.assign(tenant, email, identifiers)
        assert [device.identifier for device in assigned.assigned_devices] == identifiers
        found = api(tenant, "LookupOwners", device_identifiers=identifiers).results
        assert [(owner.email, result.owner_count) for result in found for owner in result.owners] == [
            (email, 1)
        ] * DEVICES
        assert api.devices(tenant, email) == identifiers
        other = f"{name}.{turn}@example.com"
        moved = api.transfer(tenant, email, other, identifiers[:2])
        assert list(moved.transferred_devices) == identifiers[:2]
        undone = api.revert(tenant, moved.operation_id)
        assert undone.reverted_count == 2
        ended = api.unassign(tenant, email, [*identifiers, f"no-{name}"])
        assert (list(ended.unassigned_devices), list(ended.skipped)) == (identifiers, [f"no-{name}"])
        assert list(ended.devices_remaining) == []
        changes = api.changes(tenant, ended.operation_id)
        assert [device for _, device, _ in changes] == identifiers
    return 8 * rounds


def told(apis: Sequence[Api], tenant: Tenant, threads: int, rounds: int, name: str = "c") -> float:
    """Tells a story in each of several threads, the servers in turn. Returns the calls a second."""
    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        calls = list(pool.map(lambda n: story(apis[n % len(apis)], tenant, f"{name}{n}", rounds), range(threads)))
    return sum(calls) / (time.monotonic() - began)
