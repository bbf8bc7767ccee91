"""Lookups at past moments agree with what the operations say that they did."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb

from tests.conftest import Tenant
from tests.grpc_server.api.client import ADA, BOB, CAT, Api, moment, stamp

PEOPLE = [ADA, BOB, CAT]
DEVICES = ["A", "B", "C", "D", "é", "🙂"]
MICROSECOND = timedelta(microseconds=1)

Owned = dict[str, dict[str, datetime]]


def act(api: Api, tenant: Tenant, chance: random.Random) -> None:
    """Does something, or nothing if there is nothing to do."""
    source, target = chance.sample(PEOPLE, 2)
    devices = chance.sample(DEVICES, chance.randint(1, 4))
    match chance.randrange(6):
        case 0 | 1:
            api.assign(tenant, source, devices)
        case 2:
            api.transfer(tenant, source, target, devices)
        case 3:
            api.unassign(tenant, source, devices)
        case 4:
            count = api(tenant, "QueryCustomer", email=source).device_count
            api(tenant, "UnassignAllDevices", customer_email=source, expected_count=count)
        case 5:
            done = api.operations(tenant)
            api.revert(tenant, chance.choice(done).operation_id)


def replay(api: Api, tenant: Tenant) -> list[tuple[datetime, Owned]]:
    """Tells who had what from each moment on: by device, the customers and since when."""
    owned: Owned = {identifier: {} for identifier in DEVICES}
    told = []
    for operation in reversed(api.operations(tenant)):
        at = moment(operation.occurred_at)
        for customer_id, identifier, change in api.changes(tenant, operation.operation_id):
            if change == pb.CHANGE_ASSIGNED:
                assert customer_id not in owned[identifier]
                owned[identifier][customer_id] = at
            else:
                assert at > owned[identifier].pop(customer_id)
        told.append((at, {identifier: dict(owners) for identifier, owners in owned.items()}))
    return told


def looked_up(api: Api, tenant: Tenant, at: datetime) -> Owned:
    answer = api(tenant, "LookupOwners", device_identifiers=DEVICES, at=stamp(at))
    assert all(device.owner_count == len(device.owners) for device in answer.results)
    return {
        device.device_identifier: {owner.customer_id: moment(owner.assigned_at) for owner in device.owners}
        for device in answer.results
    }


def listed(api: Api, tenant: Tenant, customers: dict[str, str], at: datetime) -> Owned:
    owned: Owned = {identifier: {} for identifier in DEVICES}
    for email, customer_id in customers.items():
        page = api(tenant, "ListAssignedDevices", customer_email=email, at=stamp(at))
        assert page.total_count == len(page.devices)
        for device in page.devices:
            owned[device.device_identifier][customer_id] = moment(device.assigned_at)
    return owned


@pytest.mark.parametrize("seed", range(4))
def test_at_every_operation_and_a_microsecond_beside_it_the_lookups_agree_with_the_changes(
    api: Api, tenant: Tenant, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  # no secret
    for email in PEOPLE:
        api.assign(tenant, email, DEVICES[:3])
    for _ in range(20):
        act(api, tenant, chance)
    customers: dict[str, Any] = {email: api(tenant, "QueryCustomer", email=email).id for email in PEOPLE}
    api.assign(tenant, ADA, DEVICES)
    before: Owned = {identifier: {} for identifier in DEVICES}
    for at, owned in replay(api, tenant):
        for instant, expected in ((at - MICROSECOND, before), (at, owned), (at + MICROSECOND, owned)):
            assert looked_up(api, tenant, instant) == expected
            assert listed(api, tenant, customers, instant) == expected
        before = owned
    assert looked_up(api, tenant, at + timedelta(seconds=30)) == owned


def test_a_transfer_has_no_gap_and_no_overlap(api: Api, tenant: Tenant) -> None:
    given = api.assign(tenant, ADA, ["A"])
    done = api.transfer(tenant, ADA, BOB, ["A"])
    began = moment(api.operation(tenant, given.operation_id).occurred_at)
    moved = moment(api.operation(tenant, done.operation_id).occurred_at)
    assert api.owners(tenant, "A", began - MICROSECOND) == []
    assert api.owners(tenant, "A", began) == [ADA]
    assert api.owners(tenant, "A", moved - MICROSECOND) == [ADA]
    assert api.owners(tenant, "A", moved) == [BOB]
    since = api(tenant, "LookupOwners", device_identifiers=["A"], at=stamp(moved)).results[0].owners[0].assigned_at
    assert moment(since) == moved


def test_what_is_finer_than_a_microsecond_is_left_out(api: Api, tenant: Tenant) -> None:
    given = api.assign(tenant, ADA, ["A"])
    began = api.operation(tenant, given.operation_id).occurred_at
    began.nanos += 999
    answer = api(tenant, "LookupOwners", device_identifiers=["A"], at=began)
    assert answer.results[0].owner_count == 1
    began.nanos -= 1_000
    answer = api(tenant, "LookupOwners", device_identifiers=["A"], at=began)
    assert answer.results[0].owner_count == 0
