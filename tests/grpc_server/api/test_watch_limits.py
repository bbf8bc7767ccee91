"""WatchOperations: capacity, keys, a server that stops, and a reader that does not read."""

import threading
import time
from datetime import UTC, datetime
from itertools import islice

import grpc
import pytest
from sqlalchemy import insert

from service.domain.ids import new_id
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.numbers import number_in_session
from service.storage.tables import operation
from tests.conftest import Tenant, failure
from tests.grpc_server.api.client import ADA, Api
from tests.grpc_server.api.conftest import Start
from tests.grpc_server.api.test_watch import begin_token, done, ids
from tests.grpc_server.conftest import eventually

MANY = 400


@pytest.fixture
def many(database: Database, tenant: Tenant) -> None:
    """More operations than any buffer takes: 40 MB of them, faster than calls could make them."""
    rows = [
        {
            "id": new_id("op"),
            "kind": "import",
            "occurred_at": datetime.now(UTC),
            "note": "🙂" * 25_000,
            "assigned_count": 1,
            "unassigned_count": 0,
        }
        for _ in range(MANY)
    ]
    with database.session() as connection:
        number = number_in_session(connection, tenant.id)
        connection.execute(insert(operation).values(organization_number=number), rows)


def first_of(api: Api, tenant: Tenant) -> list[str]:
    """Reads the first operation of a new stream, if there is room for one."""
    try:
        return ids([next(api(tenant, "WatchOperations"))])
    except grpc.RpcError:
        return []


def test_streams_have_a_capacity_of_their_own_and_calls_go_on(start: Start, tenant: Tenant) -> None:
    _, api = start(streams=4)  # an organisation has half of them
    streams = [api(tenant, "WatchOperations") for _ in range(2)]
    for stream in streams:
        begin_token(stream)
    failed = failure(lambda: next(api(tenant, "WatchOperations")))
    assert (failed.code.name, failed.reason) == ("RESOURCE_EXHAUSTED", "ERROR_REASON_OVERLOADED")
    assert failed.retry_seconds
    made = done(api, tenant, 10)
    assert [ids(islice(stream, 10)) for stream in streams] == [made, made]
    streams[0].cancel()
    eventually(lambda: first_of(api, tenant) == made[:1])


def test_a_revoked_key_ends_the_stream_within_five_seconds(api: Api, tenant: Tenant, database: Database) -> None:
    made = done(api, tenant, 2)
    stream = api(tenant, "WatchOperations")
    assert ids(islice(stream, 2)) == made
    Keys(database).revoke(tenant.key_id)
    revoked = time.monotonic()
    failed = failure(lambda: list(stream))
    assert time.monotonic() - revoked < 5
    assert (failed.code.name, failed.reason) == ("UNAUTHENTICATED", "ERROR_REASON_API_KEY_INVALID")


def test_a_reader_that_does_not_read_is_not_read_ahead_for_and_loses_the_stream_with_its_key(
    start: Start, tenant: Tenant, database: Database, many: None
) -> None:
    service, api = start()  # a connection of its own: one that has carried much before buffers more
    stream = api(tenant, "WatchOperations")
    next(stream)
    Keys(database).revoke(tenant.key_id)
    eventually(lambda: not service._server.reception.streams.pending)
    told: list[object] = []
    with pytest.raises(grpc.RpcError) as ended:
        told.extend(iter(lambda: next(stream), None))
    # Such a stream cannot be told why it ends: it is cancelled, unless the caller reads on just in time.
    assert ended.value.code().name in ("CANCELLED", "UNAUTHENTICATED")
    # What is told after that is what was on its way: the rest of the 400 was never taken from the database, or
    # at least not told to a key that is good no more.
    assert len(told) < 120


def test_a_slow_reader_gets_everything_in_the_end(api: Api, tenant: Tenant, many: None) -> None:
    stream = api(tenant, "WatchOperations")
    found = ids(islice(stream, 10))
    time.sleep(1)
    found += ids(islice(stream, MANY - 10))
    assert len(set(found)) == MANY
    stream.cancel()


def test_a_server_that_stops_ends_its_streams_and_does_not_wait_for_them(
    start: Start, tenant: Tenant, many: None
) -> None:
    service, api = start(drain_seconds=120)
    reading = api(tenant, "WatchOperations", from_now=True)
    begin_token(reading)
    stuck = api(tenant, "WatchOperations")
    next(stuck)
    seconds: list[float] = []

    def stop() -> None:
        began = time.monotonic()
        assert service.stop()
        seconds.append(time.monotonic() - began)

    stopping = threading.Thread(target=stop)
    stopping.start()
    failed = failure(lambda: list(reading))
    stopping.join()
    assert (failed.code.name, failed.reason) == ("UNAVAILABLE", "ERROR_REASON_STOPPING")
    assert failed.retry_seconds
    assert seconds[0] < 100
    with pytest.raises(grpc.RpcError):
        list(stuck)


def test_a_stream_goes_on_at_another_server(start: Start, tenant: Tenant) -> None:
    service, first = start()
    _, second = start()
    made = done(first, tenant, 4)
    stream = first(tenant, "WatchOperations")
    messages = list(islice(stream, 3))
    service.stop()
    made += [second.assign(tenant, ADA, ["later"]).operation_id]
    again = second(tenant, "WatchOperations", after=messages[-1].resume_token)
    messages += islice(again, 2)
    assert ids(messages) == made
    again.cancel()
