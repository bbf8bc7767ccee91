"""Stored answers are deleted once they are old enough, and not before."""

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from service.storage import housekeeping
from service.storage.database import Database
from service.storage.tables import reply
from tests.conftest import Client, Tenant, failure
from tests.databases import kind_of

DAY = timedelta(hours=24)


def age(database: Database, hours: float) -> None:
    """Makes every answer older by so many hours."""
    with database.session() as connection:
        older = kind_of(database).interval(timedelta(hours=hours))
        connection.execute(text(f"UPDATE reply SET kept_at = kept_at - {older}"))


def test_an_answer_is_kept_for_its_time_and_then_deleted(client: Client, tenant: Tenant, database: Database) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    answer = client.unassign(tenant, "ada@example.com", ["A"], request_id=first)
    age(database, 23.9)
    assert housekeeping.forget_replies(database, DAY) == 0
    assert client.unassign(tenant, "ada@example.com", ["A"], request_id=first) == answer
    client.unassign(tenant, "ada@example.com", ["B"], request_id=second)
    age(database, 0.2)
    assert housekeeping.forget_replies(database, DAY) == 1
    # The first request id can be used again, the second cannot.
    again = client.unassign(tenant, "ada@example.com", ["A"], request_id=first)
    assert list(again.skipped) == ["A"]
    reused = failure(lambda: client.unassign(tenant, "ada@example.com", ["A"], request_id=second))
    assert reused.reason == "ERROR_REASON_REQUEST_ID_REUSED"


@pytest.mark.parametrize("count", [0, 999, 1000, 2500])
def test_any_number_of_old_answers_is_deleted(database: Database, tenant: Tenant, count: int) -> None:
    with database.session() as connection:
        rows = [{"request_id": str(n), "fingerprint": b"", "answer": b""} for n in range(count)]
        if rows:
            connection.execute(reply.insert().values(organization_number=1, kept_at=func.clock_timestamp()), rows)
    age(database, 25)
    with database.session() as connection:
        young = {"request_id": "young", "fingerprint": b"", "answer": b""}
        connection.execute(reply.insert().values(organization_number=1, kept_at=func.clock_timestamp()), [young])
    assert housekeeping.forget_replies(database, DAY) == count
    with database.session(write=False) as connection:
        assert connection.execute(select(reply.c.request_id)).scalars().all() == ["young"]
