"""A full disk is named as what it is, to callers, in the log and by the commands."""

import io
import json

import pytest

from service.domain.assign_devices import AssignDevices, assign_devices
from service.domain.cancellation import Cancellation
from service.domain.email import Email
from service.domain.errors import DatabaseUnavailable
from service.domain.options import Options
from service.runtime import log
from service.storage import bulk, location
from service.storage.database import Database
from service.storage.database_url import DatabaseRefused
from tests.conftest import Tenant
from tests.databases import kind_of
from tests.storage.history import replayed

ADA = "ada@example.com"


def test_a_write_on_a_full_disk_changes_nothing_and_says_why(database: Database, tenant: Tenant) -> None:
    tenant.assign(ADA, ["A"])
    kind_of(database).fill_disk(database)
    stream = io.StringIO()
    log.configure(stream, json=True)
    many = [f"D{number:05}" for number in range(5_000)]
    command = AssignDevices(Email.parse(ADA), many, Options("key"), auto_create_devices=True, device_type="lamp")
    with pytest.raises(DatabaseUnavailable, match=r"^The database's disk is full; retry when there is space again$"):
        database.write(tenant.id, Cancellation(), lambda uow: assign_devices(uow, command))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [("error", "the disk of the database is full")]
    assert len(replayed(database, tenant.id).operations) == 1
    assert [row[1] for row in bulk.export_lines(database, tenant.id)] == ["A"]


def test_a_command_on_a_full_disk_says_so(database: Database, tenant: Tenant) -> None:
    kind_of(database).fill_disk(database)
    with pytest.raises(DatabaseUnavailable, match="disk is full"):
        tenant.assign(ADA, [f"D{number:05}" for number in range(5_000)])


def test_the_drivers_error_of_a_full_disk_is_worded(database: Database) -> None:
    backend, kind = database.backend, kind_of(database)
    error = kind.full()
    assert backend.failure(error).name == "FULL"
    wanted = r"^the disk of the database .* is full; make space on it and try again$"
    with pytest.raises(DatabaseRefused, match=wanted), location.worded(database.url):
        raise error
