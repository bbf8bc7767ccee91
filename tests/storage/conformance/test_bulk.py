"""Import and export: one operation, all or nothing; what is exported can be imported."""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.import_lines import COLUMNS, BadLine, Line, read_lines
from service.storage import bulk
from service.storage.database import Database
from tests.conftest import Tenant, new_tenant
from tests.domain.test_identifiers import CHARACTERS, problems
from tests.storage.history import replayed

ANY = settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
GOOD = st.text(CHARACTERS, min_size=1, max_size=6).filter(lambda text: not problems(text))
ADDRESSES = st.sampled_from(["ada@example.com", "ADA@EXAMPLE.com", "é@example.com", "e\u0301@ß.de", "o'b=1+2@例え.jp"])
TYPES = st.sampled_from(["thermostat", 'a,"b"', "\U0001f321"])


def lines(rows: list[tuple[str, str, str]]) -> list[Line]:
    """Writes rows to a file and reads them as the command does."""
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    file.seek(0)
    read = [line for line in read_lines(file) if isinstance(line, Line)]
    assert len(read) == len(rows)
    return read


def test_what_was_exported_can_be_imported_and_is_the_same(database: Database, tenant: Tenant) -> None:
    numbers = iter(range(10_000))

    @ANY
    @given(st.dictionaries(GOOD, st.tuples(TYPES, st.sets(ADDRESSES, min_size=1)), max_size=12))
    def holds(devices: dict[str, tuple[str, set[str]]]) -> None:
        rows = [(email, i, kind) for i, (kind, emails) in devices.items() for email in sorted(emails)]
        first, second = (new_tenant(database, f"{side} {next(numbers)}") for side in ("first", "second"))
        bulk.import_lines(database, first.id, lines(rows), skip_bad_lines=False)
        exported = list(bulk.export_lines(database, first.id))
        assert {(line.customer.key, line.identifier, line.device_type) for line in lines(exported)} == {
            (line.customer.key, line.identifier, line.device_type) for line in lines(rows)
        }
        bulk.import_lines(database, second.id, lines(exported), skip_bad_lines=False)
        assert list(bulk.export_lines(database, second.id)) == exported
        replayed(database, first.id)

    holds()


def test_an_export_is_ordered_by_customer_and_by_the_code_points_of_identifiers(
    database: Database, tenant: Tenant
) -> None:
    for email in ("b@example.com", "A@example.com", "é@example.com"):
        tenant.assign(email, ["\U0001f600", "\uffee", "b", "B", "é"])
    new_tenant(database, "other").assign("a@example.com", ["theirs"])
    assert [row[:2] for row in bulk.export_lines(database, tenant.id)] == [
        (email, identifier)
        for email in ("A@example.com", "b@example.com", "é@example.com")
        for identifier in ("B", "b", "é", "\uffee", "\U0001f600")
    ]


def test_a_customer_is_shown_as_first_given_and_named_by_the_local_part(database: Database, tenant: Tenant) -> None:
    tenant.assign("Ada.L@Example.com", ["A"])
    tenant.assign("ada.l@EXAMPLE.COM", ["B"])
    (customer,) = replayed(database, tenant.id).customers.values()
    assert (customer.email, customer.name) == ("Ada.L@Example.com", "Ada.L")


def test_a_second_import_of_the_same_does_nothing_and_is_no_operation(database: Database, tenant: Tenant) -> None:
    rows = [("a@b.de", "1", "t"), ("A@B.de", "1", "t"), ("a@b.de", "2", "t")]
    first, bad = bulk.import_lines(database, tenant.id, lines(rows), skip_bad_lines=False)
    assert (first.customers_created, first.devices_created, first.assigned, bad) == (1, 2, 2, [])
    before = replayed(database, tenant.id)
    again, _ = bulk.import_lines(database, tenant.id, lines(rows), skip_bad_lines=False)
    assert again == bulk.Imported(0, 0, 0, "")
    assert replayed(database, tenant.id) == before


def test_a_device_that_exists_with_another_type_makes_its_lines_bad(database: Database, tenant: Tenant) -> None:
    new_tenant(database, "other").assign("a@b.de", ["2"])
    bulk.import_lines(database, tenant.id, lines([("a@b.de", "1", "t")]), skip_bad_lines=False)
    before = replayed(database, tenant.id)
    rows = lines([("a@b.de", "2", "x"), ("b@b.de", "1", "x"), ("c@b.de", "1", "x")])
    with pytest.raises(bulk.BadLines) as caught:
        bulk.import_lines(database, tenant.id, rows, skip_bad_lines=False)
    assert [line.number for line in caught.value.lines] == [3, 4]
    assert replayed(database, tenant.id) == before
    done, bad = bulk.import_lines(database, tenant.id, rows, skip_bad_lines=True)
    assert bad == [BadLine(n, "device_type differs from the type that the device has already") for n in (3, 4)]
    assert (done.customers_created, done.devices_created, done.assigned) == (0, 1, 1)


def test_a_file_without_lines_changes_nothing(database: Database, tenant: Tenant) -> None:
    assert bulk.import_lines(database, tenant.id, [], skip_bad_lines=False) == (bulk.Imported(0, 0, 0, ""), [])


def test_a_database_is_empty_until_it_has_an_organisation(database: Database) -> None:
    assert bulk.is_empty(database)
    new_tenant(database)
    assert not bulk.is_empty(database)
