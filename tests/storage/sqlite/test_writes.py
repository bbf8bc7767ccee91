"""Writes to SQLite: a full disk, and the wait for the only writer."""

import resource
import time

import pytest
from sqlalchemy import PoolProxiedConnection

from service.domain.cancellation import Cancellation
from service.domain.errors import Conflict, DeadlineExceeded, OutcomeUnknown
from service.storage.database import Database
from tests.conftest import Tenant
from tests.grpc_server.conftest import held
from tests.storage.conformance.test_transactions import add_device, devices


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_commit_on_a_full_disk_is_an_unknown_outcome(
    monkeypatch: pytest.MonkeyPatch, database: Database, tenant: Tenant
) -> None:
    commit = database.backend.commit

    def without_room(pooled: PoolProxiedConnection) -> None:
        """Commits while no file of this process may grow."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            commit(pooled)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(database.backend, "commit", without_room)
    with pytest.raises(OutcomeUnknown):
        database.write(tenant.id, Cancellation(), add_device)
    monkeypatch.undo()
    assert devices(database) in ([], ["new"])
    database.write(tenant.id, Cancellation(), lambda uow: uow.devices.create(["another"], "t"))
    assert "another" in devices(database)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_write_whose_deadline_ends_its_wait_exceeds_the_deadline_and_is_no_conflict(
    database: Database, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["A"])
    other = Database(database.url)

    def write(seconds: float) -> type[BaseException] | None:
        try:
            other.write(tenant.id, Cancellation(time.monotonic() + seconds), lambda _uow: None)
        except (Conflict, DeadlineExceeded) as error:
            return type(error)
        return None

    with held(database, "ada@example.com"):
        # Fractions of a millisecond, because SQLite waits for whole ones.
        found = {write(seconds) for seconds in (0.0004, 0.0009, 0.0109) for _ in range(50)}
    other.close()
    assert found == {DeadlineExceeded}
