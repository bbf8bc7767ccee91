"""The assignments at every revision of a long history, read page by page."""

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from service.domain.cancellation import Cancellation
from service.domain.email import Email
from service.domain.tokens import revision_token
from service.domain.values import AssignedDevice, Customer, Operation, RevisionState
from service.storage.database import Database
from service.storage.transaction import Transaction
from tests.conftest import Tenant, new_tenant
from tests.storage.history import History, replayed

DEVICES = ["\U0001f600", "\uffee", "é", "e\u0301", "a", "B", "b", "0", "00", "c"]


def unassign(database: Database, tenant: Tenant, email: str, identifiers: list[str], operation_id: str) -> None:
    """Ends assignments."""

    def work(uow: Transaction) -> None:
        customer = uow.customers.lock(Email.parse(email))
        assert customer is not None
        ended = uow.assignments.end(customer, identifiers)
        if ended:
            delta = {customer.id: -len(ended)}
            uow.operations.record(Operation(operation_id, "unassign", None, "", delta, unassigned_count=len(ended)))

    database.write(tenant.id, Cancellation(), work)


@pytest.fixture
def history(database: Database, tenant: Tenant) -> History:
    """Two customers in each of two organisations, whose devices were assigned and unassigned many times."""
    chance = random.Random(7)  # noqa: S311  # no secret
    tenants = [tenant, new_tenant(database, "other")]
    whose = [(each, email) for each in tenants for email in ("ada@example.com", "bob@example.com")]
    for step in range(25):
        for each, email in whose:
            batch = chance.sample(DEVICES, 4)
            if step == 0 or chance.random() < 0.5:
                each.assign(email, batch)
            else:
                unassign(database, each, email, batch, f"op_{email}_{step}")
    made = replayed(database, tenant.id)
    assert len(made.revisions) > 30
    return made


def pages(uow: Transaction, customer: Customer, revision: int, size: int) -> Iterator[AssignedDevice]:
    """Reads all pages of a list."""
    after = ""
    while page := uow.assignments.assigned_at_revision(customer, revision, after, size):
        yield from page
        after = page[-1].identifier


def customers(uow: Transaction, history: History) -> Iterator[tuple[Customer, int, str]]:
    """Yields every revision of every customer, and its token."""
    for customer_id in history.customers:
        customer = uow.customers.find(customer_id=customer_id)
        assert customer is not None
        for number in range(customer.revision + 1):
            yield customer, number, revision_token(customer_id, number)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_every_revision_can_be_read_back_in_pages(
    database: Database, tenant: Tenant, history: History, size: int
) -> None:
    def check(uow: Transaction) -> None:
        for customer, number, token in customers(uow, history):
            devices = history.revisions[token]
            listed = list(pages(uow, customer, number, size))
            assert [found.identifier for found in listed] == sorted(devices)
            begun = [history.times[revision_token(customer.id, devices[found.identifier])] for found in listed]
            assert [found.assigned_at for found in listed] == begun

    database.read(tenant.id, Cancellation(), check)


def test_the_revision_of_every_instant_can_be_found(database: Database, tenant: Tenant, history: History) -> None:
    def check(uow: Transaction) -> None:
        for customer, number, token in customers(uow, history):
            moment = RevisionState(number, len(history.revisions[token]), history.times.get(token))
            assert uow.assignments.state_at_revision(customer, number) == moment
            if number:
                assert uow.assignments.state_at(customer, history.times[token]) == moment
                before = uow.assignments.state_at(customer, history.times[token] - timedelta(microseconds=1))
                assert before.revision == number - 1
            assert uow.assignments.state_at_revision(customer, customer.revision + 1) is None

    database.read(tenant.id, Cancellation(), check)
