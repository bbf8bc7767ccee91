"""Races: writers in each other's way, and lookups beside them."""

import random
import threading
from collections.abc import Callable
from typing import Any

import grpc
from deviceassignment.v1 import device_assignment_pb2 as pb

from service.storage.database import Database
from tests.conftest import Tenant
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import ADA, BOB, CAT, Api, at_once

MOVED = [f"M{number}" for number in range(6)]
OTHERS = [f"O{number}" for number in range(6)]
ROUNDS = 12


def code(outcome: Any) -> str:
    """Names the status that a call ended with."""
    return str(outcome.code().name) if isinstance(outcome, grpc.RpcError) else "OK"


def test_opposite_transfers_neither_deadlock_nor_lose_a_device(api: Api, tenant: Tenant, database: Database) -> None:
    api.assign(tenant, ADA, MOVED)
    api.assign(tenant, BOB, OTHERS)
    every = MOVED + OTHERS
    there = [lambda: api.transfer(tenant, ADA, BOB, every)] * 4
    back = [lambda: api.transfer(tenant, BOB, ADA, every[::-1])] * 4
    for _ in range(ROUNDS):
        answers = at_once(*there, *back)
        assert [code(answer) for answer in answers] == ["OK"] * 8
        owned = api.devices(tenant, ADA) + api.devices(tenant, BOB)
        assert sorted(owned) == sorted(every)
    ledger.check(database, tenant)


def test_of_a_transfer_and_an_unassignment_one_gets_the_device(api: Api, tenant: Tenant, database: Database) -> None:
    api.assign(tenant, BOB, ["Z"])
    for number in range(ROUNDS):
        device = f"D{number}"
        api.assign(tenant, ADA, [device])
        moved, taken = at_once(
            lambda d=device: api.transfer(tenant, ADA, BOB, [d]), lambda d=device: api.unassign(tenant, ADA, [d])
        )
        assert len(moved.transferred_devices) + len(taken.unassigned_devices) == 1
        assert api.owners(tenant, device) == [BOB] * len(moved.transferred_devices)
    ledger.check(database, tenant)


def test_an_assignment_and_a_departure_happen_one_after_the_other(api: Api, tenant: Tenant, database: Database) -> None:
    for number in range(ROUNDS):
        device = f"D{number}"
        before = len(api.devices(tenant, ADA)) if number else 0
        given, departed = at_once(
            lambda d=device: api.assign(tenant, ADA, [d]),
            lambda n=before: api(tenant, "UnassignAllDevices", customer_email=ADA, expected_count=n),
        )
        assert code(given) == "OK"
        left = api.devices(tenant, ADA)
        if code(departed) == "OK":
            assert departed.unassigned_count == before
            assert left == [device]
        else:
            assert code(departed) in ("FAILED_PRECONDITION", *(["NOT_FOUND"] if number == 0 else []))
            assert len(left) == before + 1
    ledger.check(database, tenant)


def test_of_two_undoings_at_once_one_does_it(api: Api, tenant: Tenant, database: Database) -> None:
    for number in range(ROUNDS):
        device = f"D{number}"
        api.assign(tenant, ADA, [device])
        done = api.transfer(tenant, ADA, BOB, [device]).operation_id
        answers = at_once(*[lambda d=done: api.revert(tenant, d)] * 3)
        assert sorted(answer.reverted_count for answer in answers) == [0, 0, 1]
        assert api.owners(tenant, device) == [ADA]
    ledger.check(database, tenant)


def test_of_an_undoing_and_what_changes_the_device_one_comes_first(
    api: Api, tenant: Tenant, database: Database
) -> None:
    api.assign(tenant, CAT, ["Z"])
    for number in range(ROUNDS):
        device = f"D{number}"
        api.assign(tenant, ADA, [device])
        done = api.transfer(tenant, ADA, BOB, [device]).operation_id
        undone, moved = at_once(
            lambda d=done: api.revert(tenant, d), lambda d=device: api.transfer(tenant, BOB, CAT, [d])
        )
        assert undone.reverted_count + len(moved.transferred_devices) == 1
        assert api.owners(tenant, device) == ([ADA] if undone.reverted_count else [CAT])
    ledger.check(database, tenant)


def test_a_giver_whose_address_changes_meanwhile_is_not_made_again(
    api: Api, tenant: Tenant, database: Database
) -> None:
    customer_id = api.assign(tenant, ADA, MOVED).customer_id
    api.assign(tenant, BOB, ["Z"])

    def rename() -> None:
        for email in ["other@example.com", ADA] * ROUNDS:
            api(tenant, "CreateOrUpdateCustomer", email=email, telemetron_customer_id=customer_id)

    def move() -> set[str]:
        ends = set()
        for number in range(3 * ROUNDS):
            device = [MOVED[number % len(MOVED)]]
            for source, target in ((ADA, BOB), (BOB, "other@example.com")):
                options = {"require_existing_customer": source == BOB, "validate_only": number % 4 == 1}
                ends.add(
                    code(at_once(lambda g=source, t=target, d=device, w=options: api.transfer(tenant, g, t, d, **w))[0])
                )
        return ends

    _, *ends = at_once(rename, move, move)
    assert ends[0] | ends[1] <= {"OK", "NOT_FOUND", "ABORTED"}
    assert len(api(tenant, "ListCustomers").customers) == 2
    ledger.check(database, tenant)


class Hands:
    """Threads that have an address change hands, and others that assign to it meanwhile."""

    def __init__(self, api: Api, tenant: Tenant) -> None:
        self._api, self._tenant = api, tenant
        self.over = threading.Event()

    def rename(self, number: int) -> Callable[[], set[str]]:
        """Gives the address to one customer after the other, and takes it from the one who has it."""

        def work() -> set[str]:
            mine = self._save(f"{number}@example.com").telemetron_customer_id
            ends = set()
            turn = 0
            while not self.over.is_set():
                turn += 1
                ends.add(code(self._save(ADA, telemetron_customer_id=mine)))
                holder = at_once(lambda: self._api(self._tenant, "QueryCustomer", email=ADA))[0]
                if code(holder) == "OK":
                    mine = holder.id
                    ends.add(code(self._save(f"{number}-{turn}@example.com", telemetron_customer_id=mine)))
            return ends

        return work

    def _save(self, email: str, **options: Any) -> Any:
        return at_once(lambda: self._api(self._tenant, "CreateOrUpdateCustomer", email=email, **options))[0]

    def give(self, number: int) -> Callable[[], list[Any]]:
        """Assigns to the address in every way there is."""
        api, tenant = self._api, self._tenant

        def work() -> list[Any]:
            answers = []
            try:
                for turn in range(4 * ROUNDS):
                    answers += at_once(
                        lambda device=f"{number}-{turn}": api.assign(tenant, ADA, [device]),
                        lambda: api(tenant, "AssignDevice", device_identifier="Z", customer_emails=[BOB, ADA]),
                        lambda: api.transfer(tenant, BOB, ADA, MOVED),
                        lambda: api.transfer(tenant, ADA, BOB, MOVED),
                    )
            finally:
                self.over.set()
            return answers

        return work


def changed(answer: Any) -> tuple[set[str], set[str]]:
    """Gives the ids of all customers that an answer names, and of those whose assignments it says it has changed."""
    match answer:
        case pb.AssignDevicesResponse():
            ids = {answer.customer_id}
            return ids, ids if answer.assigned_devices else set()
        case pb.AssignDeviceResponse():
            ids = {customer.customer_id for customer in answer.assigned_customers}
            return ids, ids - {customer.customer_id for customer in answer.already_assigned}
        case _:
            ids = {answer.from_customer_id, answer.to_customer_id}
            return ids, ids if answer.transferred_devices else set()


def test_what_is_assigned_to_an_address_that_changes_hands_is_assigned_to_the_customer_named(
    api: Api, tenant: Tenant, database: Database
) -> None:
    api.assign(tenant, BOB, [*MOVED, "Z"])
    hands = Hands(api, tenant)
    *renamed, first, second = at_once(*map(hands.rename, range(4)), hands.give(1), hands.give(2))
    assert set().union(*renamed) <= {"OK", "ALREADY_EXISTS", "NOT_FOUND", "ABORTED"}
    assert {code(answer) for answer in first + second} <= {"OK", "NOT_FOUND", "ABORTED"}
    told = [answer for answer in first + second if code(answer) == "OK"]
    assert len(told) > len(first + second) / 2
    operations = {operation.operation_id: operation for operation in api.operations(tenant)}
    for answer in told:
        named, touched = changed(answer)
        assert all(named)
        assert bool(answer.operation_id) == bool(touched)
        if touched:
            assert set(operations[answer.operation_id].customer_ids) == touched
    ledger.check(database, tenant)


class Crowd:
    """Threads that do all kinds of things, while others look on."""

    def __init__(self, api: Api, tenant: Tenant) -> None:
        self._api, self._tenant = api, tenant
        self._transfers = [api.transfer(tenant, ADA, BOB, MOVED[:1]).operation_id]
        self._done = [api.assign(tenant, CAT, OTHERS).operation_id]
        self.over = threading.Event()
        self.looks = 0

    def move(self, chance: random.Random) -> None:
        """Moves devices between Ada and Bob, who are their only owners ever, or moves them back by undoing it."""
        source, target = chance.sample([ADA, BOB], 2)
        if chance.random() < 0.3:
            self._api.revert(self._tenant, chance.choice(self._transfers))
            return
        moved = self._api.transfer(self._tenant, source, target, chance.sample(MOVED, 3))
        if moved.operation_id:
            self._transfers.append(moved.operation_id)

    def stir(self, chance: random.Random) -> None:
        """Does anything at all with the other devices."""
        api, tenant = self._api, self._tenant
        who, whom = chance.sample([ADA, BOB, CAT], 2)
        devices = chance.sample(OTHERS, 3)
        answer: Any = None
        match chance.randrange(6):
            case 0:
                answer = api.assign(tenant, who, devices)
            case 1:
                answer = api(tenant, "AssignDevice", device_identifier=devices[0], customer_emails=[who, whom])
            case 2:
                answer = api.unassign(tenant, who, devices)
            case 3:
                answer = api.transfer(tenant, who, whom, devices)
            case 4:
                count = api(tenant, "QueryCustomer", email=CAT).device_count
                answer = api(tenant, "UnassignAllDevices", customer_email=CAT, expected_count=count)
            case 5:
                answer = api.revert(tenant, chance.choice(self._done))
        if answer.operation_id:
            self._done.append(answer.operation_id)

    def repeat(self, act: Callable[[random.Random], None], seed: int) -> Callable[[], list[str]]:
        """Gives a thread's work, which tells how its calls failed."""

        def work() -> list[str]:
            chance = random.Random(seed)  # noqa: S311  # no secret
            outcomes = [at_once(lambda: act(chance))[0] for _ in range(25)]
            return [code(outcome) for outcome in outcomes if outcome is not None]

        return work

    def look(self) -> None:
        """Sees every moved device with one owner, at any time."""
        while not self.over.is_set():
            for device in self._api(self._tenant, "LookupOwners", device_identifiers=MOVED).results:
                assert device.owner_count == 1, device
            self.looks += 1


def test_a_crowd_leaves_everything_in_order_and_lookups_never_see_half_a_transfer(
    api: Api, tenant: Tenant, database: Database
) -> None:
    api.assign(tenant, ADA, MOVED)
    for email in (ADA, BOB):
        api.assign(tenant, email, OTHERS[:2])
    crowd = Crowd(api, tenant)
    works = [crowd.repeat(crowd.move, seed) for seed in range(4)] + [
        crowd.repeat(crowd.stir, seed) for seed in range(4)
    ]
    looking = threading.Thread(target=crowd.look)
    looking.start()
    failures = [text for each in at_once(*works) for text in each]
    crowd.over.set()
    looking.join()
    assert set(failures) <= {"FAILED_PRECONDITION"}  # another count than was expected
    assert crowd.looks > 10
    ledger.check(database, tenant)
