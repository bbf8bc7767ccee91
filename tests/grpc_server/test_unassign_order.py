"""UnassignDevices checks in one order: key, scope, rate, fields, replay, customer, expected_revision, work."""

from functools import partial
from uuid import uuid4

from deviceassignment.v1 import device_assignment_pb2 as pb
from sqlalchemy import select

from service.storage.database import Database
from service.storage.tables import reply
from tests.conftest import Client, Failure, Serve, Tenant, failure
from tests.grpc_server.conftest import rows

WRONG_KEY = (("x-api-key", "da_00000000_" + "0" * 40),)
BAD_FIELDS = pb.UnassignDevicesRequest(customer_email="nobody", device_identifiers=[""])


def refused(client: Client, request: pb.UnassignDevicesRequest, metadata: tuple[tuple[str, str], ...]) -> Failure:
    return failure(lambda: client.assignments.UnassignDevices(request, metadata=metadata))


def test_the_key_comes_first(client: Client, tenant: Tenant) -> None:
    assert refused(client, BAD_FIELDS, WRONG_KEY).reason == "ERROR_REASON_API_KEY_INVALID"


def test_the_scope_comes_before_the_rate_and_the_rate_before_the_fields(serve: Serve, tenant: Tenant) -> None:
    client = serve(rate_limit=0.001)
    reader = tenant.key("assignments:read")
    for _ in range(3):  # a rate of one call would be used up by now
        assert refused(client, BAD_FIELDS, reader).reason == "ERROR_REASON_SCOPE_MISSING"
    assert refused(client, BAD_FIELDS, tenant.metadata).reason == "ERROR_REASON_INVALID_FIELDS"
    assert refused(client, BAD_FIELDS, tenant.metadata).reason == "ERROR_REASON_RATE_LIMITED"
    assert refused(client, BAD_FIELDS, WRONG_KEY).reason == "ERROR_REASON_API_KEY_INVALID"


def test_all_fields_are_looked_at_together_and_before_a_replay(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    request_id = str(uuid4())
    client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id)
    bad = failure(lambda: client.unassign(tenant, "nobody", ["A", "", "B\n"], request_id=request_id, note="n" * 501))
    assert bad.reason == "ERROR_REASON_INVALID_FIELDS"
    assert sorted(field for field, _ in bad.violations) == [
        "customer_email",
        "device_identifiers[1]",
        "device_identifiers[2]",
        "note",
    ]


def test_a_known_request_id_comes_before_the_customer(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    request_id = str(uuid4())
    client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id)
    reused = failure(lambda: client.unassign(tenant, "nobody@example.com", ["A"], request_id=request_id))
    assert reused.reason == "ERROR_REASON_REQUEST_ID_REUSED"


def test_a_replay_comes_before_the_expected_revision(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    options = {"request_id": str(uuid4()), "expected_revision": client.page(tenant, "ada@example.com").revision}
    first = client.unassign(tenant, "ada@example.com", ["A"], **options)
    assert first.revision != options["expected_revision"]
    assert client.unassign(tenant, "ada@example.com", ["A"], **options) == first


def test_the_customer_comes_before_the_expected_revision(client: Client, tenant: Tenant) -> None:
    unknown = failure(lambda: client.unassign(tenant, "nobody@example.com", ["A"], expected_revision="rev_moved"))
    assert unknown.reason == "ERROR_REASON_CUSTOMER_NOT_FOUND"


def test_the_expected_revision_comes_before_the_work(client: Client, tenant: Tenant) -> None:
    tenant.assign("ada@example.com", ["A"])
    moved = failure(
        lambda: client.unassign(tenant, "ada@example.com", ["X"], expected_revision="rev_moved", require_all=True)
    )
    assert moved.reason == "ERROR_REASON_REVISION_MOVED"


def test_a_request_id_of_a_call_that_failed_is_free(client: Client, tenant: Tenant, database: Database) -> None:
    tenant.assign("ada@example.com", ["A"])
    request_id = str(uuid4())
    wrong = [
        partial(client.unassign, tenant, "ada@example.com", [" A"]),
        partial(client.unassign, tenant, "nobody@example.com", ["A"]),
        partial(client.unassign, tenant, "ada@example.com", ["A"], expected_revision="rev_moved"),
        partial(client.unassign, tenant, "ada@example.com", ["A", "X"], require_all=True),
    ]
    for call in wrong:
        failure(partial(call, request_id=request_id))
        assert rows(database, select(reply)) == []
    answer = client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id)
    assert list(answer.unassigned_devices) == ["A"]
