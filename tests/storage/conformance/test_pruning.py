"""Old history is removed, and a question about it is refused, never answered with what is left."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import event, func, select, text

from service.storage import pruning
from service.storage.database import Database
from service.storage.stream import Stream
from service.storage.tables import assignment, customer_revision, operation, past_assignment
from tests.conftest import Client, Tenant, failure, new_tenant
from tests.databases import kind_of

ADA = "ada@example.com"
DAY = timedelta(days=1)


def age(database: Database, by: timedelta) -> None:
    """Moves all that has happened so far into the past."""
    earlier = kind_of(database).interval(by)
    columns = (("customer", "changed_at"), ("operation", "occurred_at"), ("customer_revision", "occurred_at"))
    with database.session() as connection:
        for table, column in columns:
            connection.execute(text(f"UPDATE {table} SET {column} = {column} - {earlier}"))


def count(database: Database, table: Any) -> int:
    with database.session(write=False) as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def ago(days: float) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC) - days * DAY)
    return moment


def listed(client: Client, tenant: Tenant, days: float) -> list[str]:
    page = client.page(tenant, ADA, at=ago(days))
    return [device.device_identifier for device in page.devices]


def owners(client: Client, tenant: Tenant, device: str, days: float | None) -> list[str]:
    request = pb.LookupOwnersRequest(device_identifiers=[device], at=None if days is None else ago(days))
    [result] = client.assignments.LookupOwners(request, metadata=tenant.metadata).results
    return [owner.email for owner in result.owners]


def refused(call: Callable[[], Any]) -> None:
    found = failure(call)
    assert (found.code, found.reason) == (grpc.StatusCode.OUT_OF_RANGE, "ERROR_REASON_HISTORY_PRUNED")
    assert "has been removed; ask about a later time" in found.text


@pytest.fixture
def history(client: Client, tenant: Tenant, database: Database) -> list[str]:
    """A and B are assigned thirty days ago, A leaves twenty days ago, C comes ten days ago, B leaves five days ago."""
    operations = [tenant.assign(ADA, ["A", "B"])]
    age(database, 10 * DAY)
    operations.append(client.unassign(tenant, ADA, ["A"]).operation_id)
    age(database, 10 * DAY)
    operations.append(tenant.assign(ADA, ["C"]))
    age(database, 5 * DAY)
    operations.append(client.unassign(tenant, ADA, ["B"]).operation_id)
    age(database, 5 * DAY)
    return operations


@pytest.mark.parametrize("expected", [(40, 0, 0), (25, 0, 1), (15, 1, 2), (7, 1, 3), (1, 2, 4)])
def test_what_is_kept_is_answered_as_before_and_what_is_not_is_refused(
    client: Client, tenant: Tenant, database: Database, history: list[str], expected: tuple[int, int, int]
) -> None:
    days, ended, done = expected
    moments = (35, 29, 19, 9, 4)
    lists = {each: listed(client, tenant, each) for each in moments}
    assert lists == {35: [], 29: ["A", "B"], 19: ["B"], 9: ["B", "C"], 4: ["C"]}
    found = {(device, each): owners(client, tenant, device, each) for device in "ABC" for each in moments}
    pruned = pruning.prune(database, days * DAY)
    assert (pruned.assignments, pruned.operations) == (ended, done)
    assert pruning.prune(database, days * DAY).operations == 0
    for each in moments:
        if each > days:
            refused(partial(listed, client, tenant, each))
            refused(partial(owners, client, tenant, "A", each))
        else:
            assert listed(client, tenant, each) == lists[each]
            assert {device: owners(client, tenant, device, each) for device in "ABC"} == {
                device: found[device, each] for device in "ABC"
            }
    assert client.devices(tenant, ADA) == ["C"]
    assert owners(client, tenant, "C", None) == [ADA]
    for place, operation_id in enumerate(history):
        call = partial(
            client.assignments.GetOperation, pb.GetOperationRequest(operation_id=operation_id), metadata=tenant.metadata
        )
        if place < done:
            assert failure(call).reason == "ERROR_REASON_OPERATION_NOT_FOUND"
        else:
            assert call().operation.operation_id == operation_id


def test_the_present_stays_and_the_rest_goes(
    client: Client, tenant: Tenant, database: Database, history: list[str]
) -> None:
    pruning.prune(database, DAY)
    assert (count(database, past_assignment), count(database, operation), count(database, assignment)) == (0, 0, 1)
    # The revision that C came with, for its time, and the last one, for the state since.
    assert count(database, customer_revision) == 2
    page = client.page(tenant, ADA)
    assert [device.device_identifier for device in page.devices] == ["C"]
    assert page.devices[0].assigned_at.ToDatetime(UTC) < datetime.now(UTC) - 9 * DAY
    client.unassign(tenant, ADA, ["C"])
    age(database, 2 * DAY)
    pruning.prune(database, DAY)
    assert count(database, past_assignment) == 0
    assert count(database, customer_revision) == 1


def test_a_page_of_a_listing_that_is_not_kept_any_more_is_refused(
    client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign(ADA, ["A", "B", "C"])
    token = client.page(tenant, ADA, page_size=1).next_page_token
    client.unassign(tenant, ADA, ["B"])
    last = client.page(tenant, ADA, page_size=1).next_page_token
    age(database, 3 * DAY)
    assert [d.device_identifier for d in client.page(tenant, page_token=token).devices] == ["B", "C"]
    pruning.prune(database, 2 * DAY)
    refused(lambda: client.page(tenant, page_token=token))
    assert [d.device_identifier for d in client.page(tenant, page_token=last).devices] == ["C"]


def test_a_list_of_operations_since_a_time_that_is_not_kept_is_refused(
    client: Client, tenant: Tenant, database: Database, history: list[str]
) -> None:
    pruning.prune(database, 15 * DAY)

    def since(days: float | None) -> list[str]:
        request = pb.ListOperationsRequest(customer_email=ADA, since=None if days is None else ago(days))
        answer = client.assignments.ListOperations(request, metadata=tenant.metadata)
        return [each.operation_id for each in answer.operations]

    assert since(14) == since(None) == [history[3], history[2]]
    refused(lambda: since(16))


def test_lists_of_operations_end_where_the_history_does(
    client: Client, tenant: Tenant, database: Database, history: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def operations(**fields: Any) -> Any:
        return client.assignments.ListOperations(pb.ListOperationsRequest(**fields), metadata=tenant.metadata)

    first, second = operations(page_size=2), operations(page_size=3)
    assert operations(page_token=first.next_page_token, page_size=2).operations[0].operation_id == history[1]
    with monkeypatch.context() as patch:
        patch.setattr(pruning, "_delete", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pruning.prune(database, 15 * DAY)
    # Nothing is deleted yet, and what will be is not shown.
    for fields in ({}, {"customer_email": ADA}):
        assert [each.operation_id for each in operations(**fields).operations] == [history[3], history[2]]
    assert not operations(device_identifier="A").operations
    refused(lambda: operations(until=ago(16)))
    refused(lambda: operations(page_token=second.next_page_token, page_size=3))
    assert operations(until=ago(9)).operations[0].operation_id == history[2]


def test_a_prune_that_overlaps_a_longer_one_does_not_bring_back_what_is_gone(
    client: Client, tenant: Tenant, database: Database, history: list[str]
) -> None:
    began: list[threading.Thread] = []
    other = Database(database.url)

    def between(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "max(operation.position)" in statement and not began:
            began.append(threading.Thread(target=pruning.prune, args=(other, 7 * DAY)))
            began[0].start()
            began[0].join(1.0)  # waits for the lock of this one

    event.listen(database.engine, "before_cursor_execute", between)
    pruning.prune(database, 25 * DAY)
    event.remove(database.engine, "before_cursor_execute", between)
    began[0].join()
    other.close()
    assert count(database, operation) == 1
    refused(partial(listed, client, tenant, 19))
    refused(partial(listed, client, tenant, 9))
    assert listed(client, tenant, 4) == ["C"]


def test_a_stream_does_not_pass_over_what_is_not_kept(
    client: Client, tenant: Tenant, database: Database, history: list[str]
) -> None:
    def watch(after: str = "") -> Any:
        return client.assignments.WatchOperations(
            pb.WatchOperationsRequest(after=after), metadata=tenant.metadata, timeout=60
        )

    stream = watch()
    tokens = [next(stream).resume_token for _ in history]
    stream.cancel()
    pruning.prune(database, 15 * DAY)
    refused(lambda: next(watch()))
    refused(lambda: next(watch(tokens[0])))
    assert next(watch(tokens[1])).operation.operation_id == history[2]


def test_an_operation_that_is_about_to_be_removed_is_not_reverted(
    client: Client, tenant: Tenant, database: Database, history: list[str]
) -> None:
    with database.session() as connection:
        day = kind_of(database).interval(15 * DAY)
        connection.execute(text(f"UPDATE stream SET pruned_before = clock_timestamp() - {day}"))
        if not connection.execute(text("SELECT count(*) FROM stream")).scalar_one():
            connection.execute(
                text(f"INSERT INTO stream VALUES (1, 0, 0, clock_timestamp() - {day})"),
            )
    call = partial(client.assignments.RevertOperation, metadata=tenant.metadata)
    refusal = failure(lambda: call(pb.RevertOperationRequest(operation_id=history[1])))
    assert refusal.reason == "ERROR_REASON_OPERATION_NOT_FOUND"
    assert call(pb.RevertOperationRequest(operation_id=history[3])).reverted_count == 1


def test_more_than_a_batch_of_several_organisations_is_removed(
    client: Client, tenant: Tenant, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_BATCH", 7)
    other = new_tenant(database, "other")
    devices = [f"D{number:02}" for number in range(20)]
    for who in (tenant, other):
        who.assign(ADA, devices)
        who.assign("bob@example.com", devices)
        for number in range(10):
            client.unassign(who, ADA, devices[2 * number : 2 * number + 2])
    age(database, 3 * DAY)
    client.unassign(tenant, "bob@example.com", devices[:3])
    kept = client.devices(tenant, "bob@example.com")
    done = pruning.prune(database, DAY)
    assert (done.assignments, done.operations) == (40, 24)
    assert count(database, past_assignment) == 3
    assert client.devices(tenant, "bob@example.com") == kept
    assert owners(client, tenant, "D05", 0.5) == ["bob@example.com"]


def test_a_prune_that_was_stopped_goes_on(
    client: Client, tenant: Tenant, database: Database, history: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pruning, "_delete", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pruning.prune(database, 15 * DAY)
    refused(partial(listed, client, tenant, 19))
    assert (
        failure(
            lambda: client.assignments.GetOperation(
                pb.GetOperationRequest(operation_id=history[0]), metadata=tenant.metadata
            )
        ).reason
        == "ERROR_REASON_OPERATION_NOT_FOUND"
    )
    # A larger age does not bring back what was refused.
    pruning.prune(database, 25 * DAY)
    refused(partial(listed, client, tenant, 19))
    assert count(database, operation) == 2


def test_positions_are_given_before_operations_are_removed(
    client: Client, tenant: Tenant, database: Database, history: list[str]
) -> None:
    assert Stream(database).last(tenant.id) == 4
    pruning.prune(database, DAY)
    assert Stream(database).last(tenant.id) == 4
    client.unassign(tenant, ADA, ["C"])
    assert Stream(database).last(tenant.id) == 5
