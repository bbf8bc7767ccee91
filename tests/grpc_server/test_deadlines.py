"""Deadlines and cancellation: they reach the database, free the thread, and leave nothing half done."""

import time
from uuid import uuid4

import grpc
import pytest
from sqlalchemy import func, select, text

from service.storage.database import Database
from service.storage.sqlite import backend as sqlite
from service.storage.tables import operation, reply
from tests.conftest import Tenant
from tests.grpc_server.conftest import Run, code_of, eventually, held, rows

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def waiting(database: Database) -> int:
    """How many statements wait for a lock; SQLite has nobody to ask."""
    if database.engine.dialect.name == "sqlite":
        return 0
    with database.session(write=False) as connection:
        return int(connection.execute(text(WAITING)).scalar_one())


def blocked(database: Database) -> bool:
    return database.engine.dialect.name == "sqlite" or waiting(database) == 1


def operations(database: Database) -> int:
    [(count,)] = rows(database, select(func.count()).select_from(operation))
    return int(count)


def test_a_deadline_ends_the_call_and_its_statement_and_frees_the_thread(
    run: Run, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A"])
    tenant.assign("bob@example.com", ["B"])
    running = run(threads=1)
    before = operations(database)
    request_id = str(uuid4())
    with held(database, "ada@example.com"):
        started = time.monotonic()
        late = running.unassigning(tenant, "ada@example.com", ["A"], request_id=request_id, timeout=1)
        eventually(lambda: late.done() or (running.calls == 1 and blocked(database)))
        assert code_of(late.result) is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - started > 0.9
        # The lock is still held.
        eventually(lambda: waiting(database) == 0 and running.calls == 0)
        # The server's only thread serves another call.
        if database.engine.dialect.name == "sqlite":  # which has one lock for all writes
            assert running.client.devices(tenant, "bob@example.com") == ["B"]
        else:
            assert list(running.client.unassign(tenant, "bob@example.com", ["B"]).unassigned_devices) == ["B"]
            before += 1
    assert operations(database) == before
    assert rows(database, select(reply)) == []
    again = running.client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id)
    assert list(again.unassigned_devices) == ["A"]
    assert running.client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id) == again


def test_a_cancelled_call_leaves_nothing_half_done_and_frees_its_thread(
    run: Run, tenant: Tenant, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "MAX_WAIT_SECONDS", 2.0)
    tenant.assign("ada@example.com", ["A", "B"])
    running = run(threads=1)
    before = operations(database)
    request_id = str(uuid4())
    with held(database, "ada@example.com"):
        left = running.unassigning(tenant, "ada@example.com", ["A"], request_id=request_id)
        eventually(lambda: running.calls == 1 and blocked(database))
        assert left.cancel()
        # SQLite's wait for another process cannot be cut short; it ends by itself after its time.
        eventually(lambda: waiting(database) == 0 and running.calls == 0)
        assert running.client.devices(tenant, "ada@example.com") == ["A", "B"]
    assert operations(database) == before
    assert rows(database, select(reply)) == []
    again = running.client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id)
    assert list(again.unassigned_devices) == ["A"]


def test_a_call_whose_time_ran_out_in_the_queue_does_no_work(run: Run, tenant: Tenant, database: Database) -> None:
    tenant.assign("ada@example.com", ["A"])
    tenant.assign("bob@example.com", ["B", "C"])
    running = run(threads=1)
    with held(database, "ada@example.com"):
        first = running.unassigning(tenant, "ada@example.com", ["A"])
        eventually(lambda: running.calls == 1 and blocked(database))
        queued = running.unassigning(tenant, "bob@example.com", ["B"], timeout=2)
        left = running.unassigning(tenant, "bob@example.com", ["C"])
        eventually(lambda: running.calls == 3)
        left.cancel()
        assert code_of(queued.result) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert list(first.result().unassigned_devices) == ["A"]
    eventually(lambda: running.calls == 0)
    assert running.client.devices(tenant, "bob@example.com") == ["B", "C"]


def test_many_callers_who_give_up_do_not_stop_the_others(run: Run, tenant: Tenant, database: Database) -> None:
    tenant.assign("ada@example.com", [f"D{n}" for n in range(20)])
    running = run(threads=4)
    with held(database, "ada@example.com"):
        calls = [running.unassigning(tenant, "ada@example.com", [f"D{n}"], timeout=0.5) for n in range(20)]
        assert {code_of(call.result) for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        eventually(lambda: waiting(database) == 0 and running.calls == 0)
        assert len(running.client.devices(tenant, "ada@example.com")) == 20
    assert list(running.client.unassign(tenant, "ada@example.com", ["D0"]).unassigned_devices) == ["D0"]


def test_a_repeat_tells_what_became_of_a_call_whose_answer_was_lost(
    run: Run, tenant: Tenant, database: Database
) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    running = run()
    request_id = str(uuid4())
    with held(database, "ada@example.com"):
        lost = running.unassigning(tenant, "ada@example.com", ["A"], request_id=request_id)
        eventually(lambda: running.calls == 1 and blocked(database))
    eventually(lambda: running.calls == 0)  # it has committed; its answer is thrown away here
    lost.cancel()
    before = operations(database)
    again = running.client.unassign(tenant, "ada@example.com", ["A"], request_id=request_id)
    assert list(again.unassigned_devices) == ["A"]
    assert operations(database) == before
