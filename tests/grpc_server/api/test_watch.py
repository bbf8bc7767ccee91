"""WatchOperations: where a stream begins, what it tells, and how it goes on."""

import statistics
import time
from itertools import islice
from typing import Any

import grpc

from tests.conftest import Tenant, failure
from tests.grpc_server.api.client import ADA, BOB, CAT, Api
from tests.grpc_server.api.conftest import Start
from tests.grpc_server.conftest import eventually


def begin_token(stream: Any) -> str:
    """Waits until a stream is open, and gives the token of its beginning."""
    return str(dict(stream.initial_metadata())["resume-token"])


def ids(messages: Any) -> list[str]:
    return [message.operation.operation_id for message in messages]


def done(api: Api, tenant: Tenant, count: int, email: str = ADA) -> list[str]:
    """Makes so many operations."""
    known = len(api.operations(tenant))
    return [api.assign(tenant, email, [f"{known + number}"]).operation_id for number in range(count)]


def test_a_stream_tells_everything_from_the_beginning_and_then_what_comes(api: Api, tenant: Tenant) -> None:
    before = [tenant.assign(ADA, ["I"]), *done(api, tenant, 3)]
    stream = api(tenant, "WatchOperations")
    assert ids(islice(stream, 4)) == before
    after = done(api, tenant, 3)
    messages = list(islice(stream, 3))
    assert ids(messages) == after
    assert [message.operation for message in messages] == [api.operation(tenant, each) for each in after]
    assert len({message.resume_token for message in messages}) == 3
    stream.cancel()


def test_a_stream_from_now_tells_what_comes_next_only(api: Api, tenant: Tenant) -> None:
    done(api, tenant, 3)
    stream = api(tenant, "WatchOperations", from_now=True)
    token = begin_token(stream)
    after = done(api, tenant, 2)
    assert ids(islice(stream, 2)) == after
    stream.cancel()
    again = api(tenant, "WatchOperations", after=token)
    assert ids(islice(again, 2)) == after
    again.cancel()


def test_a_stream_goes_on_behind_any_token(api: Api, tenant: Tenant) -> None:
    made = done(api, tenant, 6)
    stream = api(tenant, "WatchOperations")
    beginning = begin_token(stream)
    messages = list(islice(stream, 6))
    stream.cancel()
    for number, token in enumerate([beginning, *(message.resume_token for message in messages[:-1])]):
        again = api(tenant, "WatchOperations", after=token)
        assert begin_token(again) == token
        assert list(islice(again, 6 - number)) == messages[number:]
        again.cancel()
    assert ids(messages) == made
    last = api(tenant, "WatchOperations", after=messages[-1].resume_token)
    (own,) = done(api, tenant, 1)
    assert ids([next(last)]) == [own]
    last.cancel()


def test_a_stream_of_a_customer_tells_that_customers_operations_only(api: Api, tenant: Tenant) -> None:
    wanted = done(api, tenant, 2)
    done(api, tenant, 2, BOB)
    wanted += [api.transfer(tenant, ADA, BOB, ["0"]).operation_id]
    wanted += [api.transfer(tenant, BOB, ADA, ["2"]).operation_id]
    stream = api(tenant, "WatchOperations", customer_email="ADA@example.com")
    assert ids(islice(stream, 4)) == wanted
    done(api, tenant, 3, CAT)
    (own,) = done(api, tenant, 1)
    message = next(stream)
    assert ids([message]) == [own]
    stream.cancel()
    (next_own,) = done(api, tenant, 1)
    again = api(tenant, "WatchOperations", customer_email=ADA, after=message.resume_token)
    assert ids([next(again)]) == [next_own]
    again.cancel()


def test_a_stream_of_an_unknown_customer_is_not_found(api: Api, tenant: Tenant) -> None:
    failed = failure(lambda: next(api(tenant, "WatchOperations", customer_email=ADA)))
    assert (failed.code.name, failed.reason) == ("NOT_FOUND", "ERROR_REASON_CUSTOMER_NOT_FOUND")


def test_a_token_of_another_kind_is_refused(api: Api, tenant: Tenant) -> None:
    done(api, tenant, 2)
    stream = api(tenant, "WatchOperations")
    good = next(stream).resume_token
    stream.cancel()
    page = api(tenant, "ListOperations", page_size=1).next_page_token
    for token in (page, good + "A", good[:-1], "x" * 5_000, "🙂"):
        failed = failure(lambda: next(api(tenant, "WatchOperations", after=token)))  # noqa: B023  # called here
        assert [field for field, _ in failed.violations] == ["after"], token
    failed = failure(lambda: api(tenant, "ListOperations", page_token=good))
    assert [field for field, _ in failed.violations] == ["page_token"]


def test_an_operation_arrives_within_a_second_of_the_end_of_its_call(api: Api, tenant: Tenant) -> None:
    stream = api(tenant, "WatchOperations")
    begin_token(stream)

    def seconds() -> float:
        (made,) = done(api, tenant, 1)
        ended = time.monotonic()
        assert ids([next(stream)]) == [made]
        return time.monotonic() - ended

    # Several times over, because the machine may have other things to do.
    eventually(lambda: statistics.median(seconds() for _ in range(5)) < 1)
    stream.cancel()


def test_a_stream_ends_with_ok_at_its_age_and_misses_nothing_when_it_is_resumed(start: Start, tenant: Tenant) -> None:
    _, api = start(stream_seconds=1)
    made = done(api, tenant, 3)
    began = time.monotonic()
    stream = api(tenant, "WatchOperations")
    messages = list(stream)
    assert time.monotonic() - began >= 1
    assert stream.code() == grpc.StatusCode.OK
    made += done(api, tenant, 3)
    while len(messages) < len(made):
        messages += list(api(tenant, "WatchOperations", after=messages[-1].resume_token if messages else ""))
    assert ids(messages) == made


def test_more_than_a_batch_comes_whole(api: Api, tenant: Tenant) -> None:
    made = done(api, tenant, 205)
    streams = [api(tenant, "WatchOperations", customer_email=customer) for customer in ("", ADA)]
    for stream in streams:
        assert ids(islice(stream, 205)) == made
    made = done(api, tenant, 2)
    for stream in streams:
        assert ids(islice(stream, 2)) == made
        stream.cancel()
