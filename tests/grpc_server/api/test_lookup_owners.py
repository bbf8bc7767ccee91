"""LookupOwners: who has devices, in the order of the question, and no more than fits."""

from datetime import UTC, datetime, timedelta
from functools import partial

from google.protobuf.descriptor import Descriptor
from sqlalchemy import text

from service.domain.email import Email
from service.domain.import_lines import Line
from service.storage import bulk
from service.storage.database import Database
from service.storage.numbers import number_in_session
from tests.conftest import Tenant
from tests.grpc_server.api.client import ADA, BOB, CAT, METHODS, Api, at_once, moment, stamp

MAX_ANSWER = 4 * 1024 * 1024

# 100,000 assignments, faster than calls could make them.
EVERYTHING_TO_EVERYONE = text("""
INSERT INTO assignment (organization_number, customer_number, device_identifier, assigned_revision)
SELECT c.organization_number, c.number, d.identifier, 1
FROM customer AS c JOIN device AS d ON d.organization_number = c.organization_number
WHERE c.organization_number = :organization_number
ON CONFLICT (organization_number, customer_number, device_identifier) DO NOTHING
""")


def share(database: Database, tenant: Tenant, emails: list[str], identifiers: list[str]) -> None:
    """Gives every customer every device."""
    lines = [Line(2, Email.parse(email), identifier, "lamp") for email in emails for identifier in identifiers]
    numbered = [Line(n, line.customer, line.identifier, line.device_type) for n, line in enumerate(lines, 2)]
    bulk.import_lines(database, tenant.id, numbered, skip_bad_lines=False)


def test_devices_are_told_once_each_in_the_order_of_the_request(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["A", "B"])
    api.unassign(tenant, ADA, ["B"])
    answer = api(tenant, "LookupOwners", device_identifiers=["X", "B", "A", "X", "A"])
    assert [(d.device_identifier, d.found, d.owner_count) for d in answer.results] == [
        ("X", False, 0),
        ("B", True, 0),
        ("A", True, 1),
    ]


def test_devices_side_by_side_have_each_their_own_owners_also_where_they_are_nearly_the_same(
    api: Api, tenant: Tenant
) -> None:
    api.assign(tenant, ADA, ["A1", "A2", "AB", "A4", "X1", "X2"])
    api.assign(tenant, BOB, ["AB", "B"])
    api.assign(tenant, ADA, ["A3"])  # the same owner, since another moment
    api.unassign(tenant, ADA, ["X1", "X2"])
    asked = ["A1", "A3", "A2", "AB", "A4", "B", "gone", "lost", "X1", "X2"]
    together = api(tenant, "LookupOwners", device_identifiers=asked).results
    one_by_one = [api(tenant, "LookupOwners", device_identifiers=[each]).results[0] for each in asked]
    assert list(together) == one_by_one
    assert [[owner.email for owner in device.owners] for device in together[:6]] == [
        [ADA],
        [ADA],
        [ADA],
        [ADA, BOB],
        [ADA],
        [BOB],
    ]


def test_owners_stand_with_those_of_longest_standing_first(api: Api, tenant: Tenant) -> None:
    answers = {email: api.assign(tenant, email, ["A"]) for email in (CAT, ADA, BOB)}
    api.unassign(tenant, CAT, ["A"])
    answers[CAT] = api.assign(tenant, "CAT@example.com", ["A"])
    owners = api(tenant, "LookupOwners", device_identifiers=["A"]).results[0].owners
    assert [(owner.email, owner.customer_id) for owner in owners] == [
        (email, answers[email].customer_id) for email in (ADA, BOB, CAT)
    ]
    for owner in owners:
        began = api.operation(tenant, answers[owner.email].operation_id).occurred_at
        assert owner.assigned_at == began


def test_at_most_100_owners_are_listed_and_all_are_counted(api: Api, tenant: Tenant, database: Database) -> None:
    emails = [f"c{number:03}@example.com" for number in range(130)]
    for first in (0, 65):
        share(database, tenant, emails[first : first + 65], ["A"])
    latest = stamp(datetime.now(UTC) + timedelta(seconds=1))
    for options in ({}, {"at": latest}):
        device = api(tenant, "LookupOwners", device_identifiers=["A"], **options).results[0]
        assert (len(device.owners), device.owner_count) == (100, 130)
        assert {owner.email for owner in device.owners} > set(emails[:65])
        times = [moment(owner.assigned_at) for owner in device.owners]
        assert times == sorted(times)


def test_a_thousand_devices_with_a_hundred_owners_each_fit_into_an_answer(
    api: Api, tenant: Tenant, database: Database
) -> None:
    domain = ".".join(["d" * 60] * 3)
    identifiers = [f"{number:03}{'🙂' * 10}" for number in range(1_000)]
    emails = [f"{number:03}{'é' * 29}@{domain}.com" for number in range(100)]
    api.assign(tenant, emails[0], identifiers)
    api(tenant, "AssignDevice", device_identifier=identifiers[0], customer_emails=emails)
    with database.session() as connection:
        connection.execute(EVERYTHING_TO_EVERYONE, {"organization_number": number_in_session(connection, tenant.id)})
    at = stamp(datetime.now(UTC) + timedelta(seconds=1))
    for options in ({}, {"at": at}):
        answer = api(tenant, "LookupOwners", device_identifiers=identifiers, **options)
        assert MAX_ANSWER / 2 < answer.ByteSize() <= MAX_ANSWER
        assert [device.device_identifier for device in answer.results] == identifiers
        assert {device.owner_count for device in answer.results} == {100}
        assert {device.owners[0].email[:3] for device in answer.results} == {"000"}


def test_a_moment_before_everything_has_no_owners(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["A"])
    api.transfer(tenant, ADA, BOB, ["A"])
    for at in (datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)):
        device = api(tenant, "LookupOwners", device_identifiers=["A"], at=stamp(at)).results[0]
        assert (device.found, device.owner_count, list(device.owners)) == (True, 0, [])


def test_a_key_without_customers_read_gets_the_ids_of_owners_and_no_addresses(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["A", "B"])
    api.assign(tenant, BOB, ["B"])
    at = stamp(datetime.now(UTC) + timedelta(seconds=1))
    many = [f"unknown-{number}" for number in range(20)]  # more than lookups that share a statement have
    telemetry = tenant.key("assignments:read")
    for options in ({}, {"at": at}):
        for asked in (["A", "B"], ["A", "B", *many]):
            whole = api(tenant, "LookupOwners", device_identifiers=asked, **options)
            assert [owner.email for device in whole.results for owner in device.owners] == [ADA, ADA, BOB]
            bare = api.call("LookupOwners", telemetry, device_identifiers=asked, **options)
            for device in whole.results:
                for owner in device.owners:
                    owner.email = ""
            assert list(bare.results) == list(whole.results)


def test_lookups_at_the_same_time_show_addresses_to_those_keys_alone_that_may_see_them(
    api: Api, tenant: Tenant
) -> None:
    api.assign(tenant, ADA, ["A"])
    telemetry = tenant.key("assignments:read")
    bare = partial(api.call, "LookupOwners", telemetry, device_identifiers=["A"])
    whole = partial(api, tenant, "LookupOwners", device_identifiers=["A"])
    answers = at_once(*[bare, whole] * 20)
    assert [answer.results[0].owners[0].email for answer in answers] == ["", ADA] * 20


def test_a_key_that_may_not_see_addresses_gets_only_the_one_that_it_names_from_a_write(
    api: Api, tenant: Tenant
) -> None:
    api.assign(tenant, ADA, ["A"])
    writer = tenant.key("assignments:write")
    answer = api.call("AssignDevice", writer, device_identifier="A", customer_emails=[BOB, ADA.upper()])
    assert [customer.email for customer in answer.assigned_customers] == [BOB, ADA.upper()]
    assert [customer.email for customer in answer.already_assigned] == [ADA.upper()]
    answer = api(tenant, "AssignDevice", device_identifier="A", customer_emails=[ADA.upper()])
    assert [customer.email for customer in answer.assigned_customers] == [ADA]


def test_no_answer_of_the_assignments_has_an_address_but_these_two() -> None:
    """A new field of that name needs the scope `customers:read`, as in LookupOwners."""
    found = {
        f"{message.name}.{field.name}"
        for method in METHODS.values()
        if method.containing_service.name == "DeviceAssignmentService"
        for message in messages(method.output_type)
        for field in message.fields
        if "email" in field.name
    }
    assert found == {"Owner.email", "CustomerAssigned.email"}


def messages(top: Descriptor) -> set[Descriptor]:
    """Lists a message and those within it. None contains itself."""
    inner = [messages(field.message_type) for field in top.fields if field.message_type is not None]
    return {top}.union(*inner)
