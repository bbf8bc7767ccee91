"""CustomerService: customers as records."""

from typing import Any

import grpc
import pytest

from service.storage.database import Database
from tests.conftest import Tenant, failure
from tests.grpc_server.api import ledger
from tests.grpc_server.api.client import ADA, BOB, Api, at_once, new_uuid
from tests.grpc_server.api.conftest import Start


def save(api: Api, tenant: Tenant, **fields: Any) -> Any:
    return api(tenant, "CreateOrUpdateCustomer", **fields)


def get(api: Api, tenant: Tenant, customer_id: str) -> Any:
    return api(tenant, "GetCustomer", telemetron_customer_id=customer_id)


def test_a_new_customer_has_what_was_given_and_nothing_else(api: Api, tenant: Tenant) -> None:
    answer = save(api, tenant, email="Ada@Example.com", name="Ada", phone="+1", metadata={"vip": True, "n": [1, None]})
    assert (answer.success, answer.message) == (True, "Customer successfully created")
    found = get(api, tenant, answer.telemetron_customer_id)
    assert found.id == answer.telemetron_customer_id
    assert found.organization_id == tenant.id
    assert (found.name, found.email, found.phone) == ("Ada", "Ada@Example.com", "+1")
    assert found.HasField("phone")
    assert not found.HasField("address")
    assert dict(found.metadata) == {"vip": True, "n": [1, None]}
    assert (list(found.devices), list(found.orders), found.device_count, found.next_page_token) == ([], [], 0, "")
    assert found.created_at.seconds > 1_600_000_000
    queried = api(tenant, "QueryCustomer", email="ada@EXAMPLE.COM")
    listed = api(tenant, "ListCustomers").customers
    # The three messages have the same fields under the same numbers; their bytes are compared with the maps in order.
    told = [each.SerializeToString(deterministic=True) for each in (found, queried, *listed)]
    assert told == told[:1] * 3


@pytest.mark.parametrize("name", [None, ""])
def test_a_new_customer_without_a_name_is_named_after_the_local_part(
    api: Api, tenant: Tenant, name: str | None
) -> None:
    made = save(api, tenant, email="Ada.B@example.com", name=name)
    found = get(api, tenant, made.telemetron_customer_id)
    assert found.name == "Ada.B"
    assert found.HasField("metadata")
    assert dict(found.metadata) == {}
    assert not found.HasField("phone")


def test_an_absent_field_is_kept_and_an_empty_one_cleared(api: Api, tenant: Tenant) -> None:
    full = {"name": "Ada", "phone": "1", "address": "here", "metadata": {"a": 1}}
    who = save(api, tenant, email=ADA, **full).telemetron_customer_id
    before = get(api, tenant, who)
    kept = save(api, tenant, email=ADA, telemetron_customer_id=who)
    assert (kept.telemetron_customer_id, kept.message) == (who, "Customer successfully updated")
    assert get(api, tenant, who) == before
    for field, other in (("name", "B"), ("phone", "2"), ("address", "there"), ("metadata", {"b": 2})):
        save(api, tenant, email=ADA, telemetron_customer_id=who, **{field: other})
        found = get(api, tenant, who)
        assert dict(found.metadata) == ({"b": 2} if field == "metadata" else {"a": 1})
        save(api, tenant, email=ADA, telemetron_customer_id=who, **{field: {} if field == "metadata" else ""})
        cleared = get(api, tenant, who)
        assert (cleared.phone, cleared.HasField("phone")) == (("", False) if field == "phone" else ("1", True))
        assert cleared.HasField("address") == (field != "address")
        assert cleared.name == ("" if field == "name" else "Ada")
        assert dict(cleared.metadata) == ({} if field == "metadata" else {"a": 1})
        save(api, tenant, email=ADA, telemetron_customer_id=who, **full)
        assert get(api, tenant, who) == before


def test_an_address_that_is_there_already_is_taken(api: Api, tenant: Tenant, database: Database) -> None:
    save(api, tenant, email=ADA, name="first")
    bob = save(api, tenant, email=BOB).telemetron_customer_id
    before = ledger.picture(database, tenant)
    for validate_only in (False, True):
        for fields in ({"email": "ADA@Example.COM"}, {"email": ADA, "telemetron_customer_id": bob}):
            request = {**fields, "validate_only": validate_only, "name": "second", "request_id": new_uuid()}
            failed = failure(lambda: save(api, tenant, **request))  # noqa: B023  # called here
            assert (failed.code.name, failed.reason) == ("ALREADY_EXISTS", "ERROR_REASON_EMAIL_TAKEN")
    assert ledger.picture(database, tenant) == before


def test_a_customer_who_is_not_there_cannot_be_updated(api: Api, tenant: Tenant, database: Database) -> None:
    before = ledger.picture(database, tenant)
    failed = failure(lambda: save(api, tenant, email=ADA, telemetron_customer_id="cust_unknown"))
    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "ERROR_REASON_CUSTOMER_NOT_FOUND")
    for call in (lambda: get(api, tenant, "cust_x"), lambda: api(tenant, "QueryCustomer", email=ADA)):
        assert failure(call).reason == "ERROR_REASON_CUSTOMER_NOT_FOUND"
    assert ledger.picture(database, tenant) == before


def test_a_new_address_takes_the_devices_along_and_sets_the_old_one_free(
    api: Api, tenant: Tenant, database: Database
) -> None:
    given = api.assign(tenant, ADA, ["A"])
    save(api, tenant, email="new@example.com", telemetron_customer_id=given.customer_id)
    assert api.devices(tenant, "new@example.com") == ["A"]
    assert api.owners(tenant, "A") == ["new@example.com"]
    assert failure(lambda: api.devices(tenant, ADA)).code.name == "NOT_FOUND"
    page = api(tenant, "ListAssignedDevices", customer_id=given.customer_id)
    assert page.revision == given.revision
    assert save(api, tenant, email=ADA).telemetron_customer_id != given.customer_id
    ledger.check(database, tenant)


def test_the_same_address_spelt_otherwise_is_left_as_it_was_first_given(api: Api, tenant: Tenant) -> None:
    who = save(api, tenant, email="Ada@Example.com").telemetron_customer_id
    save(api, tenant, email="ADA@EXAMPLE.COM", telemetron_customer_id=who)
    assert get(api, tenant, who).email == "Ada@Example.com"


def test_records_are_no_operations(api: Api, tenant: Tenant) -> None:
    given = api.assign(tenant, ADA, ["A"])
    save(api, tenant, email=ADA, telemetron_customer_id=given.customer_id, name="Ada")
    assert len(api.operations(tenant)) == 1
    assert api(tenant, "ListAssignedDevices", customer_email=ADA).revision == given.revision


def test_of_16_who_create_the_same_customer_one_wins(api: Api, tenant: Tenant) -> None:
    calls = [lambda n=n: save(api, tenant, email=ADA, name=f"{n}", request_id=new_uuid()) for n in range(16)]
    answers = at_once(*calls)
    errors = [answer for answer in answers if isinstance(answer, grpc.RpcError)]
    assert {error.code().name for error in errors} == {"ALREADY_EXISTS"}
    (winner,) = [(n, answer) for n, answer in enumerate(answers) if answer not in errors]
    found = api(tenant, "QueryCustomer", email=ADA)
    assert (found.id, found.name) == (winner[1].telemetron_customer_id, f"{winner[0]}")


def test_of_16_customers_who_take_the_same_address_one_wins(start: Start, tenant: Tenant) -> None:
    _, api = start(threads=16)
    who = [save(api, tenant, email=f"c{n}@example.com").telemetron_customer_id for n in range(16)]
    for round_number in range(4):
        target = f"new{round_number}@example.com"
        calls = [
            lambda each=each, target=target: save(
                api, tenant, email=target, telemetron_customer_id=each, request_id=new_uuid()
            )
            for each in who
        ]
        answers = at_once(*calls)
        codes = [answer.code().name for answer in answers if isinstance(answer, grpc.RpcError)]
        assert codes == ["ALREADY_EXISTS"] * 15
