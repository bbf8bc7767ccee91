"""DeviceService: devices as records."""

from typing import Any

from service.storage.database import Database
from tests.conftest import Tenant, failure
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import ADA, Api, at_once, new_uuid
from tests.grpc_server.api.conftest import Start


def save(api: Api, tenant: Tenant, identifier: str, **fields: Any) -> Any:
    return api(tenant, "CreateOrUpdateDevice", identifier=identifier, **fields)


def get(api: Api, tenant: Tenant, identifier: str) -> Any:
    return api(tenant, "GetDevice", identifier=identifier)


def test_a_new_device_has_what_was_given(api: Api, tenant: Tenant) -> None:
    answer = save(api, tenant, "é 1", type="lamp", properties={"watts": 7.5})
    assert (answer.success, answer.message) == (True, "Device successfully created")
    assert (answer.identifier, answer.type, answer.device_id[:4]) == ("é 1", "lamp", "dev_")
    found = get(api, tenant, "é 1")
    assert (found.identifier, found.device_id, found.type) == ("é 1", answer.device_id, "lamp")
    assert dict(found.properties) == {"watts": 7.5}
    assert found.created_at.seconds > 1_600_000_000
    plain = save(api, tenant, "2", type="lamp")
    assert get(api, tenant, "2").HasField("properties")
    assert plain.device_id != answer.device_id


def test_an_update_keeps_what_is_absent(api: Api, tenant: Tenant) -> None:
    made = save(api, tenant, "A", type="lamp", properties={"a": 1})
    again = save(api, tenant, "A")
    assert (again.message, again.device_id, again.type) == ("Device successfully updated", made.device_id, "lamp")
    assert dict(get(api, tenant, "A").properties) == {"a": 1}
    assert save(api, tenant, "A", type="boiler").type == "boiler"
    assert dict(get(api, tenant, "A").properties) == {"a": 1}
    save(api, tenant, "A", properties={})
    found = get(api, tenant, "A")
    assert (found.type, dict(found.properties), found.device_id) == ("boiler", {}, made.device_id)


def test_a_new_device_needs_a_type_and_nothing_is_made_without(api: Api, tenant: Tenant, database: Database) -> None:
    before = ledger.picture(database, tenant)
    for validate_only in (True, False):
        failed = failure(lambda: save(api, tenant, "A", validate_only=validate_only, request_id=new_uuid()))  # noqa: B023  # called here
        assert failed.violations == [("type", "is required for a new device")]
    assert ledger.picture(database, tenant) == before


def test_records_are_no_operations_and_devices_keep_their_owners(api: Api, tenant: Tenant) -> None:
    given = api.assign(tenant, ADA, ["A"])
    save(api, tenant, "A", type="boiler", properties={"a": 1})
    assert api.owners(tenant, "A") == [ADA]
    assert len(api.operations(tenant)) == 1
    assert api(tenant, "ListAssignedDevices", customer_email=ADA).revision == given.revision


def test_devices_are_listed_by_code_point_in_pages(api: Api, tenant: Tenant) -> None:
    identifiers = ["b", "é", "A", "🙂", "Z", "\uffee", "a b"]
    for identifier in identifiers:
        save(api, tenant, identifier, type="lamp", properties={"is": identifier})
    for size in (0, 1, 3, 7, 10_001):
        found: list[str] = []
        token = ""
        while True:
            page = api(tenant, "ListDevices", page_size=size, page_token=token)
            assert all(dict(device.properties) == {"is": device.identifier} for device in page.devices)
            found += [device.identifier for device in page.devices]
            token = page.next_page_token
            if not token:
                break
        assert found == sorted(identifiers)


def test_a_page_of_devices_keeps_to_the_answers_size(start: Start, tenant: Tenant) -> None:
    _, api = start(max_answer_bytes=65_536)
    api.assign(tenant, ADA, [f"{number:03}{'🙂' * 250}" for number in range(100)])
    page = api(tenant, "ListDevices")
    assert 32_768 < page.ByteSize() <= 65_536
    rest = api(tenant, "ListDevices", page_token=page.next_page_token)
    assert (len(page.devices) + len(rest.devices), rest.next_page_token) == (100, "")


def test_bulk_metadata_replaces_in_the_order_of_the_request_and_tells_what_is_not_there(
    api: Api, tenant: Tenant
) -> None:
    for identifier in "ABC":
        save(api, tenant, identifier, type="lamp", properties={"old": True})
    wanted = [("C", {"n": 1}), ("X", {"n": 2}), ("A", {}), ("Y", {"n": 3})]
    answer = api(tenant, "BulkUpdateDeviceMetadata", devices=[{"identifier": i, "metadata": m} for i, m in wanted])
    assert (answer.success, answer.updated, answer.not_found) == (True, 2, 2)
    assert [(result.identifier, result.status) for result in answer.results] == [
        ("C", "updated"),
        ("X", "not_found"),
        ("A", "updated"),
        ("Y", "not_found"),
    ]
    properties = [dict(get(api, tenant, identifier).properties) for identifier in "ABC"]
    assert properties == [{}, {"old": True}, {"n": 1}]
    assert get(api, tenant, "C").type == "lamp"
    assert failure(lambda: get(api, tenant, "X")).code.name == "NOT_FOUND"


def test_a_thousand_devices_are_updated_at_once_and_opposite_orders_do_not_deadlock(api: Api, tenant: Tenant) -> None:
    identifiers = [f"{number:04}" for number in range(1_000)]
    api.assign(tenant, ADA, identifiers)

    def update(order: list[str], value: int) -> Any:
        devices = [{"identifier": identifier, "metadata": {"v": value}} for identifier in order]
        return api(tenant, "BulkUpdateDeviceMetadata", devices=devices)

    answers = at_once(lambda: update(identifiers, 1), lambda: update(identifiers[::-1], 2))
    assert [answer.updated for answer in answers] == [1_000, 1_000]
    left = {dict(device.properties)["v"] for device in api(tenant, "ListDevices").devices}
    assert left in ({1}, {2})


def test_of_8_who_create_the_same_device_one_does(api: Api, tenant: Tenant) -> None:
    answers = at_once(*[lambda: save(api, tenant, "A", type="lamp")] * 8)
    assert sorted(answer.message for answer in answers) == [
        "Device successfully created",
        *["Device successfully updated"] * 7,
    ]
    assert {answer.device_id for answer in answers} == {get(api, tenant, "A").device_id}


def test_of_8_who_assign_the_same_new_things_one_creates_each(api: Api, tenant: Tenant, database: Database) -> None:
    for number in range(5):
        devices = [f"{number}-{device}" for device in range(5)]
        email = f"c{number}@example.com"
        calls = [lambda order=order, e=email: api.assign(tenant, e, order) for order in [devices, devices[::-1]] * 4]
        answers = at_once(*calls)
        assert sum(answer.customer_was_created for answer in answers) == 1
        assert sorted(d.identifier for answer in answers for d in answer.assigned_devices) == devices
        created = [
            device.identifier
            for answer in answers
            for device in [*answer.assigned_devices, *answer.already_assigned]
            if device.was_created
        ]
        assert sorted(created) == devices
    ledger.check(database, tenant)
