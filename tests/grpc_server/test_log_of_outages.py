"""The log of a database that is lost and comes back: one line for each, and nothing else."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from sqlalchemy import make_url

from service.domain.errors import DatabaseUnavailable
from service.maintenance import Maintenance
from service.runtime import log
from service.storage import statistics
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.outages import Outages
from service.storage.probe import Found
from tests.conftest import Tenant
from tests.grpc_server.conftest import Log, Run, eventually
from tests.grpc_server.test_database_away import Away, garbled, refusing


@pytest.fixture
def away(database: Database) -> Iterator[Away]:
    """Takes the database away for as long as a block runs."""
    url = make_url(database.url)
    if url.drivername == "sqlite":
        yield lambda: garbled(Path(url.database or ""))
        return
    admin = Database(url.set(database="postgres").render_as_string(hide_password=False))
    yield lambda: refusing(database, admin)
    admin.close()


def test_a_lost_database_is_one_line_with_the_drivers_cause_and_one_when_it_is_back(
    logged: Log, run: Run, tenant: Tenant, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Maintenance and streams meet the outage many times while it lasts.
    for name in ("_KEYS_SECONDS", "_STATISTICS_SECONDS", "_REPLIES_SECONDS"):
        monkeypatch.setattr(f"service.maintenance.{name}", 0.05)
    tenant.assign("ada@example.com", ["A"])
    running = run(key_cache_seconds=0)
    running.client.page(tenant, "ada@example.com")
    with away():
        eventually(lambda: logged.events("database lost"))
        for _ in range(2):
            with suppress(grpc.RpcError):  # SQLite may answer from its cache
                running.client.page(tenant, "ada@example.com")
        eventually(lambda: running.service._found.reads is False)
    eventually(lambda: logged.events("database back"))
    running.stop()
    [lost], [back] = logged.events("database lost"), logged.events("database back")
    assert (lost["level"], back["level"]) == ("error", "info")
    assert "not currently accepting connections" in lost["cause"] or "file is not a database" in lost["cause"]
    assert back["seconds"] > 0
    others = [line for line in logged.lines if line["level"] != "info" and line is not lost]
    assert [line["event"] for line in others] == ["database lost"]


def test_each_change_is_one_line_and_the_cause_has_nothing_personal(logged: Log) -> None:
    now = 0.0
    outages = Outages("somewhere", lambda: now)
    both, reads = Found(reads=True, writes=True), Found(reads=True, writes=False)
    neither = Found(reads=False, writes=False, cause='password failed for "ada@example.com"')
    for now, found in enumerate([both, neither, neither, both, both, reads, reads, neither, reads, both]):  # noqa: B007
        outages.note(found)
    assert [(line["event"], line.get("seconds")) for line in logged.lines] == [
        ("database lost", None),
        ("database back", 2),
        ("database takes no writes", None),
        ("database lost", None),
        ("database back", 1),
        ("database takes writes again", 4),
    ]
    assert "ada@" not in logged.text


def test_other_failures_of_maintenance_are_still_warned_of(
    logged: Log, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    maintenance = Maintenance(database, Keys(database), dict, 24)
    log.info("begin")
    for error in (DatabaseUnavailable(), ValueError("broken")):

        def fail(_database: Database, error: Exception = error) -> list[str]:
            raise error

        monkeypatch.setattr(statistics, "renew", fail)
        maintenance._try(maintenance._renew_statistics)
    assert [line["event"] for line in logged.lines] == ["begin", "maintenance failed"]
