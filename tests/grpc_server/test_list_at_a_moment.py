"""ListAssignedDevices at a moment: what a customer had then, whatever happened since."""

from datetime import UTC, datetime, timedelta
from functools import partial

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import select

from service.storage.database import Database
from service.storage.tables import operation
from tests.conftest import Client, Tenant, failure
from tests.grpc_server.conftest import rows

MICROSECOND = timedelta(microseconds=1)


def stamp(moment: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(moment)
    return made


def time_of(database: Database, operation_id: str) -> datetime:
    [(moment,)] = rows(database, select(operation.c.occurred_at).where(operation.c.id == operation_id))
    found: datetime = moment
    return found


def test_each_past_moment_shows_its_exact_list(client: Client, tenant: Tenant, database: Database) -> None:
    operations = [
        (tenant.assign("ada@example.com", ["A", "B", "C"]), ["A", "B", "C"]),
        (client.unassign(tenant, "ada@example.com", ["B"]).operation_id, ["A", "C"]),
        (tenant.assign("ada@example.com", ["B", "D"]), ["A", "B", "C", "D"]),
        (client.unassign(tenant, "ada@example.com", ["B", "A"]).operation_id, ["C", "D"]),
        (tenant.assign("ada@example.com", ["A"]), ["A", "C", "D"]),
    ]
    before: list[str] = []
    seen: set[str] = set()
    for operation_id, after in operations:
        moment = time_of(database, operation_id)
        for at, expected in ((moment - MICROSECOND, before), (moment, after)):
            page = client.page(tenant, "ada@example.com", at=stamp(at))
            assert [device.device_identifier for device in page.devices] == expected
            assert page.total_count == len(expected)
            assert client.devices(tenant, "ada@example.com", at=stamp(at), page_size=1) == expected
        assert page.revision not in seen
        seen.add(page.revision)
        before = after
    assert client.page(tenant, "ada@example.com").revision == page.revision


def test_a_moment_before_the_first_operation_is_empty(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    now = client.page(tenant, "ada@example.com")
    for early in (Timestamp(), stamp(datetime(1, 1, 1, tzinfo=UTC)), stamp(datetime.now(UTC) - timedelta(days=1))):
        page = client.page(tenant, "ada@example.com", at=early)
        assert (list(page.devices), page.total_count, page.next_page_token) == ([], 0, "")
        assert page.revision != now.revision
        assert page.as_of == early


def test_the_revision_of_a_past_moment_is_the_one_that_was_answered_then(
    client: Client, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    answers = [client.unassign(tenant, "ada@example.com", [identifier]) for identifier in "AB"]
    for answer in answers:
        at = stamp(time_of(database, answer.operation_id))
        assert client.page(tenant, "ada@example.com", at=at).revision == answer.revision


def test_an_assignment_begins_with_its_operation_and_anew_when_it_comes_back(
    client: Client, tenant: Tenant, database: Database
) -> None:
    first = time_of(database, tenant.assign("ada@example.com", ["A", "B"]))
    client.unassign(tenant, "ada@example.com", ["A"])
    second = time_of(database, tenant.assign("ada@example.com", ["A", "B"]))

    def since(**options: Timestamp) -> dict[str, Timestamp]:
        page = client.page(tenant, "ada@example.com", **options)
        return {device.device_identifier: device.assigned_at for device in page.devices}

    assert first < second
    assert since() == {"A": stamp(second), "B": stamp(first)}
    assert since(at=stamp(first)) == {"A": stamp(first), "B": stamp(first)}


def test_a_timestamp_outside_of_the_calendar_is_refused(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    year_10000 = 253_402_300_800
    for seconds, nanos in ((year_10000, 0), (-62_135_596_801, 0), (2**63 - 1, 0), (-(2**63), 0), (0, -1), (0, 10**9)):
        refused = failure(partial(client.page, tenant, "ada@example.com", at=Timestamp(seconds=seconds, nanos=nanos)))
        assert [field for field, _ in refused.violations] == ["at"], (seconds, nanos)
