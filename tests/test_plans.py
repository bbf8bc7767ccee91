"""Query plans: nothing that grows is read whole, and on PostgreSQL, at a million assignments, a page costs a page."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import text

from service.app import Service
from service.config import Settings
from service.storage import schema
from service.storage.database import Database
from tests import fleet, plan_work, postgres
from tests.grpc_server.api.client import Api
from tests.plan_work import Grown, Work
from tests.plans import Explaining, Recorder, Recording, Step, plans_in

# What a row may cost in blocks of 8 KiB: the way down an index or two, and for what is written, down three.
_BLOCKS_A_ROW = 25
_BLOCKS_A_CALL = 150


class Grounds:
    """A grown database with a server, whose statements' plans can be read."""

    def __init__(self, database: Database, grown: Grown, recorder: Recorder) -> None:
        self.database = database
        self.grown = grown
        self.recorder = recorder


@pytest.fixture(scope="module")
def grounds() -> Iterator[Grounds]:
    """The grown database; its server is our own, because its log is read."""
    with postgres.own() as own:
        url = own.server.fresh()
        database = Database(url)
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # Nobody wants it back after a crash, and nobody else is to clean up while plans are looked at.
            for setting in ("fsync = off", "full_page_writes = off", "max_wal_size = '8GB'", "autovacuum = off"):
                connection.execute(text(f"ALTER SYSTEM SET {setting}"))
            connection.execute(text("SELECT pg_reload_conf()"))
            tenant = fleet.fill(database, fleet.MILLION)
            connection.execute(text("VACUUM (ANALYZE)"))
        recorder = Recorder(database, own.log)
        service = Service(Settings(database_url=url, key_cache_seconds=0))
        api = Api(service.start("127.0.0.1:0"))
        service._maintenance.stop()  # its statements are not those of the calls that are looked at
        yield Grounds(database, Grown(fleet.MILLION, service, api, tenant), recorder)
        api.channel.close()
        service.stop()
        database.close()


def check(recording: Recording, rows: int) -> None:
    """Holds plans to what they may read."""
    scans = {table for plan in recording.plans for table in plan.scanned}
    assert not scans, f"reads {scans} whole:\n{recording}"
    forked = [plan for plan in recording.plans if plan.forks]
    assert not forked, f"starts processes for a call:\n{forked[0]}"
    assert recording.rows <= rows, f"looks at {recording.rows} rows:\n{recording}"
    blocks = _BLOCKS_A_CALL + _BLOCKS_A_ROW * rows
    assert recording.blocks <= blocks, f"looks at {recording.blocks} blocks:\n{recording}"


def cases() -> list[object]:
    """Every work, those with a known gap expected to fail until it is closed."""
    listed: list[object] = []
    for work in plan_work.ALL:
        marks = [pytest.mark.xfail(reason=work.gap, raises=AssertionError, strict=True)] if work.gap else []
        listed.append(pytest.param(work, id=work.name, marks=marks))
    return listed


@pytest.mark.parametrize("work", cases())
def test_postgresql_reads_no_table_whole_and_not_much_more_than_it_needs(grounds: Grounds, work: Work) -> None:
    call = work.prepare(grounds.grown)
    with grounds.recorder.recording() as recording:
        call()
    assert recording.plans, "no statement was told of"
    check(recording, work.rows)


def test_the_fill_is_as_big_as_it_says(grounds: Grounds) -> None:
    with grounds.database.session(write=False) as connection:
        count = connection.execute(text("SELECT reltuples FROM pg_class WHERE relname = 'assignment'")).scalar_one()
    assert fleet.MILLION.assignments >= 1_000_000
    assert count >= 950_000  # an estimate, and some have ended since


_TOLD = """\
2026-01-01 00:00:00 UTC [7] LOG:  duration: 0.1 ms  plan:
\t{
\t  "Query Text": "SELECT 1",
\t  "Plan": {
\t    "Node Type": "Result"
\t  }
\t}
"""


def test_a_plan_is_read_when_all_of_it_is_written() -> None:
    """The server writes while its log is read, from any place on: other statements may be under way."""
    rest = _TOLD[_TOLD.index('\t  "Plan"') :]
    for end in range(len(_TOLD)):
        found = list(plans_in(rest + _TOLD + "2026-01-01 00:00:01 UTC [8] LOG:  other\n" + _TOLD[:end]))
        assert [(plan.statement, plan.root["Node Type"]) for plan in found] == [("SELECT 1", "Result")], _TOLD[:end]


@contextmanager
def without_index(database: Database, name: str) -> Iterator[None]:
    """Takes an index away for as long as a block runs."""
    with database.session() as connection:
        made = connection.execute(text("SELECT pg_get_indexdef(to_regclass(:name))"), {"name": name}).scalar_one()
        connection.execute(text(f"DROP INDEX {name}"))
    try:
        yield
    finally:
        with database.session() as connection:
            connection.execute(text(made))


def test_a_missing_index_is_noticed(grounds: Grounds) -> None:
    [work] = [work for work in plan_work.READS if work.name == "look up one device"]
    call = work.prepare(grounds.grown)
    with (
        without_index(grounds.database, "ix_assignment_device"),
        grounds.recorder.recording() as recording,
    ):
        call()
    with pytest.raises(AssertionError, match=r"reads|looks at"):
        check(recording, work.rows)


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grown]:
    """A small database whose statements are explained; without statistics its plans do not depend on its size."""
    url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'plans.db'}"
    with pytest.MonkeyPatch.context() as patched:
        explaining = partial(sqlite3.connect, factory=Explaining, cached_statements=0)
        patched.setattr(sqlite3, "connect", explaining)
        database = Database(url)
        schema.upgrade(database)
        tenant = fleet.fill(database, fleet.THOUSANDS)
        service = Service(Settings(database_url=url, key_cache_seconds=0))
        api = Api(service.start("127.0.0.1:0"))
        service._maintenance.stop()  # its statements are not those of the calls that are looked at
        yield Grown(fleet.THOUSANDS, service, api, tenant)
        api.channel.close()
        service.stop()
        database.close()


def whole_reads(work: Work) -> list[Step]:
    """What was read from the beginning to the end, but for pages of the organisation's own order."""
    found = [step for step in Explaining.steps if step.reads_a_table_whole]
    return [step for step in found if not (work.walks and " LIMIT " in step.statement)]


@pytest.mark.parametrize("work", plan_work.ALL, ids=[work.name for work in plan_work.ALL])
def test_sqlite_reads_no_table_whole(on_sqlite: Grown, work: Work) -> None:
    call = work.prepare(on_sqlite)
    Explaining.steps.clear()
    call()
    assert Explaining.steps or not work.rows, "no statement was explained"
    assert whole_reads(work) == []


def test_a_missing_index_is_noticed_on_sqlite(on_sqlite: Grown) -> None:
    [work] = [work for work in plan_work.READS if work.name == "look up one device"]
    database = on_sqlite.service._database
    index = "ix_assignment_device"
    with database.session() as connection:
        made = connection.execute(
            text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": index}
        ).scalar_one()
        connection.execute(text(f"DROP INDEX {index}"))
    Explaining.steps.clear()
    work.prepare(on_sqlite)()
    found = whole_reads(work)
    with database.session() as connection:
        connection.execute(text(made))
    assert found
