"""UnassignDevices through a real server and client: what ends, what stays, what the answer and the record say."""

from datetime import UTC, datetime, timedelta

from deviceassignment.v1 import device_assignment_pb2 as pb
from sqlalchemy import func, select

from service.storage.database import Database
from service.storage.tables import assignment, customer, customer_revision, device, operation, past_assignment, reply
from tests.conftest import Client, Tenant
from tests.grpc_server.conftest import rows

# By UTF-16 units the emoji would come before U+E000 and U+FF5E; by letters `a` before `B`.
BY_CODE_POINT = [
    "10",
    "9",
    "A",
    "B",
    "Z",
    "a",
    "b",
    "e\u0301",
    "\u00e9",
    "\ue000",
    "\uff5e",
    "\U0001f600",
    "\U00100000",
]


def test_devices_are_unassigned_in_the_order_of_the_request_and_each_is_named_once(
    client: Client, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A", "B", "C", "D"])
    answer = client.unassign(tenant, "ada@example.com", ["C", "X", "A", "C", "X"])
    assert answer.success
    assert answer.message == "Successfully unassigned 2 device(s) from customer"
    assert list(answer.unassigned_devices) == ["C", "A"]
    assert list(answer.skipped) == ["X"]
    assert list(answer.skip_reasons) == [pb.SKIP_REASON_UNKNOWN_DEVICE]
    assert list(answer.devices_remaining) == ["B", "D"]
    assert answer.remaining_count == 2
    assert answer.operation_id.startswith("op_")
    assert answer.next_page_token == ""


def test_the_message_reads_like_that_of_ext_v1(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    one = client.unassign(tenant, "ada@example.com", ["A"])
    assert one.message == "Successfully unassigned 1 device(s) from customer"
    none = client.unassign(tenant, "ada@example.com", ["A"])
    assert none.message == "Successfully unassigned 0 device(s) from customer"
    assert none.success


def test_another_owner_of_a_shared_device_keeps_it_and_all_records_stay(
    client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A", "shared"])
    tenant.assign("bob@example.com", ["shared"])
    before = [rows(database, select(table.c.id).order_by(table.c.id)) for table in (customer, device)]
    client.unassign(tenant, "ada@example.com", ["shared", "A"])
    assert client.devices(tenant, "ada@example.com") == []
    assert client.devices(tenant, "bob@example.com") == ["shared"]
    assert [rows(database, select(table.c.id).order_by(table.c.id)) for table in (customer, device)] == before


def test_skip_reasons_tell_a_device_of_others_from_one_that_does_not_exist(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "returned"])
    tenant.assign("bob@example.com", ["B"])
    client.unassign(tenant, "ada@example.com", ["returned"])
    answer = client.unassign(tenant, "ada@example.com", ["nope", "B", "A", "returned", "b"])
    assert list(answer.unassigned_devices) == ["A"]
    assert list(answer.skipped) == ["nope", "B", "returned", "b"]
    assert list(answer.skip_reasons) == [
        pb.SKIP_REASON_UNKNOWN_DEVICE,
        pb.SKIP_REASON_NOT_ASSIGNED,
        pb.SKIP_REASON_NOT_ASSIGNED,
        pb.SKIP_REASON_UNKNOWN_DEVICE,
    ]


def test_the_remaining_list_is_whole_and_ordered_by_code_point(client: Client, tenant: Tenant) -> None:
    assert sorted(BY_CODE_POINT) == BY_CODE_POINT
    assert sorted(BY_CODE_POINT, key=lambda text: text.encode("utf-16-be")) != BY_CODE_POINT
    tenant.assign("ada@example.com", [*reversed(BY_CODE_POINT), "gone"])
    answer = client.unassign(tenant, "ada@example.com", ["gone"])
    assert list(answer.devices_remaining) == BY_CODE_POINT
    assert client.devices(tenant, "ada@example.com", page_size=2) == BY_CODE_POINT


def test_an_identifier_is_never_normalised(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["\u00e9", "sn-1"])
    answer = client.unassign(tenant, "ada@example.com", ["e\u0301", "SN-1", "\u00e9"])
    assert list(answer.unassigned_devices) == ["\u00e9"]
    assert list(answer.skipped) == ["e\u0301", "SN-1"]
    assert list(answer.devices_remaining) == ["sn-1"]


def test_a_customer_is_found_by_any_spelling_of_the_same_address(client: Client, tenant: Tenant) -> None:
    tenant.assign("Ada@Bücher.example", ["A", "B", "C"])
    ids = {
        client.unassign(tenant, spelling, [identifier]).customer_id
        for spelling, identifier in [
            ("ada@bücher.example", "A"),
            ("ADA@BÜCHER.EXAMPLE", "B"),
            ("aDa@xn--bcher-kva.example", "C"),
        ]
    }
    assert len(ids) == 1
    assert client.devices(tenant, "Ada@Bücher.example") == []


def test_an_operation_is_recorded_with_who_when_why_and_what(
    client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A", "B", "C"])
    earliest = datetime.now(UTC) - timedelta(seconds=5)
    answer = client.unassign(tenant, "ada@example.com", ["C", "A", "X"], note="returned: \U0001f4e6\nline two")
    [found] = rows(database, select(operation).where(operation.c.id == answer.operation_id))
    _, _, occurred_at, assigned, unassigned, _, kind, key_id, note, reverts = found
    assert (kind, key_id) == ("unassign", tenant.key_id)
    assert (note, assigned, unassigned, reverts) == ("returned: \U0001f4e6\nline two", 0, 2, None)
    assert earliest < occurred_at < datetime.now(UTC) + timedelta(seconds=5)
    ended = past_assignment.c
    assert rows(
        database,
        select(ended.device_identifier, ended.assigned_revision, ended.unassigned_revision).order_by(
            ended.device_identifier
        ),
    ) == [("A", 1, 2), ("C", 1, 2)]
    moved = customer_revision.c
    assert rows(
        database,
        select(customer.c.id, moved.operation_id, moved.occurred_at, moved.device_count)
        .join(customer, customer.c.number == moved.customer_number)
        .where(moved.revision == 2),
    ) == [(answer.customer_id, answer.operation_id, occurred_at, 1)]
    assert rows(database, select(customer.c.revision, customer.c.changed_at, customer.c.device_count)) == [
        (2, occurred_at, 1)
    ]


def test_a_call_that_changes_nothing_records_no_operation_and_leaves_the_revision(
    client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A"])
    revision = client.page(tenant, "ada@example.com").revision
    tables = (assignment, past_assignment, operation, customer_revision, customer, reply)

    def state() -> list[list[tuple[object, ...]]]:
        return [rows(database, select(table)) for table in tables]

    before = state()
    answer = client.unassign(tenant, "ada@example.com", ["X", "Y"])
    assert answer.operation_id == ""
    assert answer.revision == revision
    assert list(answer.unassigned_devices) == []
    assert list(answer.devices_remaining) == ["A"]
    assert state() == before


def test_every_change_gives_the_customer_another_revision_and_nobody_else(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B", "shared"])
    tenant.assign("bob@example.com", ["shared"])
    bobs = client.page(tenant, "bob@example.com").revision
    seen = {client.page(tenant, "ada@example.com").revision}
    for identifier in ("A", "B", "shared"):
        answer = client.unassign(tenant, "ada@example.com", [identifier])
        assert answer.revision not in seen
        assert client.page(tenant, "ada@example.com").revision == answer.revision
        seen.add(answer.revision)
    assert client.page(tenant, "bob@example.com").revision == bobs
    assert bobs not in seen


def test_the_times_of_a_customer_s_operations_strictly_increase(
    client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", [f"D{n}" for n in range(20)])
    ids = [client.unassign(tenant, "ada@example.com", [f"D{n}"]).operation_id for n in range(20)]
    times = dict(rows(database, select(operation.c.id, operation.c.occurred_at)))
    ordered = [times[operation_id] for operation_id in ids]
    assert ordered == sorted(set(ordered))
    assert rows(database, select(func.count()).select_from(operation)) == [(21,)]
