"""What `as_of` promises."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Tenant, failure
from tests.grpc_server.api.client import ADA, BOB, Api, moment, stamp

LATER = timedelta(seconds=120)

Ask = dict[str, Any]
LOOKUP = ("LookupOwners", {"device_identifiers": ["A", "B", "X"]})
LISTING = ("ListAssignedDevices", {"customer_email": ADA})
both = pytest.mark.parametrize(("method", "fields"), [LOOKUP, LISTING], ids=["LookupOwners", "ListAssignedDevices"])


def shown(answer: Any) -> Any:
    """Gives an answer without its moment."""
    copy = type(answer)()
    copy.CopyFrom(answer)
    copy.ClearField("as_of")
    return copy


@both
def test_the_same_question_about_the_moment_that_was_shown_has_the_same_answer(
    api: Api, tenant: Tenant, method: str, fields: Ask
) -> None:
    api.assign(tenant, ADA, ["A", "B"])
    api.assign(tenant, BOB, ["B"])
    answers = []
    for turn in range(20):
        answers.append(api(tenant, method, **fields))
        source, target = (ADA, BOB) if turn % 2 else (BOB, ADA)
        api.transfer(tenant, source, target, ["A", "B"])
        api.assign(tenant, source, ["B"])
    for answer in answers:
        again = api(tenant, method, **fields, at=answer.as_of)
        assert again == answer
    times = [moment(answer.as_of) for answer in answers]
    assert times == sorted(times)
    assert len({shown(answer).SerializeToString() for answer in answers}) > 1


@both
def test_a_moment_is_shown_as_it_was_asked_for_and_one_a_little_ahead_is_now(
    api: Api, tenant: Tenant, method: str, fields: Ask
) -> None:
    api.assign(tenant, ADA, ["A", "B"])
    now = api(tenant, method, **fields)
    past = stamp(moment(now.as_of) - timedelta(days=1))
    assert api(tenant, method, **fields, at=past).as_of == past
    ahead = api(tenant, method, **fields, at=stamp(moment(now.as_of) + timedelta(seconds=50)))
    assert now.as_of.ToNanoseconds() < ahead.as_of.ToNanoseconds() < now.as_of.ToNanoseconds() + 50 * 10**9
    assert shown(ahead) == shown(now)
    for at in (moment(now.as_of) + LATER, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)):
        refused = failure(lambda: api(tenant, method, **fields, at=stamp(at)))  # noqa: B023  # called here
        assert (refused.reason, [field for field, _ in refused.violations]) == ("ERROR_REASON_INVALID_FIELDS", ["at"])


def test_lookups_that_share_a_question_show_a_moment_within_each_call(api: Api, tenant: Tenant) -> None:
    api.assign(tenant, ADA, ["A", "B"])

    def look(number: int) -> None:
        for _ in range(50):
            before = datetime.now(UTC)
            answer = api(tenant, "LookupOwners", device_identifiers=["AB"[number % 2]])
            assert before <= moment(answer.as_of) <= datetime.now(UTC)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(look, range(16)))


def test_a_lookup_of_unknown_devices_has_a_moment_too(api: Api, tenant: Tenant) -> None:
    before = datetime.now(UTC)
    answer = api(tenant, "LookupOwners", device_identifiers=["X"])
    assert before <= moment(answer.as_of) <= datetime.now(UTC)
