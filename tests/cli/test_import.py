"""`import`: what it does, and what it says of a file that it does not take."""

import time

import pytest
from sqlalchemy import text

from service.storage.database import Database
from tests.cli.conftest import Command
from tests.conftest import HEADER, Tenant

LINES = ("import", "--org", "acme", "--json")
REFUSAL = "bad line(s); mend them, or leave them out with --skip-bad-lines\n"


def count(database: Database, table: str) -> int:
    with database.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_a_file_is_applied_once_and_a_second_time_changes_nothing(
    command: Command, database: Database, tenant: Tenant
) -> None:
    file = command.file(
        HEADER,
        "ada@example.com, A ,thermostat",
        ' ada@example.com ,"B, the ""second""",gateway',
        "Grace@Example.com,A, thermostat ",
        "grace@example.com,A,thermostat",
        "",
        "grace@EXAMPLE.COM,Ø-9,thermostat",
    )
    first = command(*LINES, file).json
    # grace and Grace differ: local parts agree after lowering ASCII letters, domains in any case.
    assert first.pop("operation_id").startswith("op_")
    assert first == {
        "lines": 5,
        "bad_lines": 0,
        "customers_created": 2,
        "devices_created": 3,
        "assigned": 4,
        "already_assigned": 1,
    }
    second = command(*LINES, file).json
    assert second == {
        "lines": 5,
        "bad_lines": 0,
        "customers_created": 0,
        "devices_created": 0,
        "assigned": 0,
        "already_assigned": 5,
        "operation_id": "",
    }
    assert count(database, "operation") == 1


def test_every_bad_line_is_named_and_nothing_applied_unless_they_are_skipped(
    command: Command, database: Database, tenant: Tenant
) -> None:
    tenant.assign("ada@example.com", ["OLD"])
    bad = {
        3: "customer_email must be an e-mail address such as name@example.com",
        4: "device_type differs from the device's type on line 2",
        5: "has 2 values instead of 3",
        6: "device_identifier must not be empty; device_type must not be empty",
    }
    rows = ["ada@example.com,A,thermostat", "ada.example.com,B,thermostat", "bob@example.com,A,gateway", "x,y"]
    file = command.file(HEADER, *rows, "bob@example.com,,", "bob@example.com,OLD,gateway", "bob@example.com,C,gateway")
    named = "".join(f"line {number}: {problem}\n" for number, problem in bad.items())
    refused = command(*LINES, file)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == f"{named}error: nothing was applied: 4 {REFUSAL}"
    assert count(database, "assignment") == 1
    assert count(database, "customer") == 1

    skipped = command(*LINES, "--skip-bad-lines", file)
    other_type = "line 7: device_type differs from the type that the device has already\n"
    assert skipped.err == named + other_type
    done = skipped.json
    assert (done["lines"], done["bad_lines"], done["assigned"], done["already_assigned"]) == (7, 5, 2, 0)
    assert (done["customers_created"], done["devices_created"]) == (1, 2)
    assert count(database, "assignment") == 3

    again = command(*LINES, command.file(HEADER, "ada@example.com,A,gateway", "ada@example.com,NEW,gateway"))
    assert (again.code, again.out) == (1, "")
    assert again.err.startswith("line 2: device_type differs from the type that the device has already\n")
    assert again.err.endswith(f"error: nothing was applied: 1 {REFUSAL}")
    assert count(database, "assignment") == 3


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", f"the first line must name the columns {HEADER}"),
        (b"email,device,type\na@example.com,A,t\n", f"the first line must name the columns {HEADER}"),
        (f"{HEADER}\na@example.com,A,t\n".encode("utf-16"), "line 1: not UTF-8 text; save the file as UTF-8"),
        (f"{HEADER}\na@example.com,Ä,t\n".encode("latin-1"), "line 2: not UTF-8 text; save the file as UTF-8"),
        (f'{HEADER}\n"a@example.com,A,t\n'.encode(), "line 2: unexpected end of data"),
        (None, "assignments.csv: No such file or directory"),
    ],
)
def test_a_file_that_is_no_import_is_refused_as_a_whole(sqlite: Command, content: bytes | None, problem: str) -> None:
    if content is not None:
        (sqlite.folder / "assignments.csv").write_bytes(content)
    answer = sqlite(*LINES, "assignments.csv")
    assert (answer.code, answer.out, answer.err) == (1, "", f"error: {problem}\n")


def test_columns_come_in_any_order_after_a_byte_order_mark_and_from_standard_input(sqlite: Command) -> None:
    answer = sqlite(*LINES, "-", stdin="\ufeffdevice_type,customer_email,device_identifier\nt,ada@example.com,A\r\n")
    assert answer.json["assigned"] == 1
    assert sqlite("export", "--org", "acme").out == f"{HEADER}\nada@example.com,A,t\n"


def test_progress_shows_on_a_terminal_only(sqlite: Command) -> None:
    file = sqlite.file(HEADER, "ada@example.com,A,t")
    piped, shown = sqlite("import", "--org", "acme", file), sqlite.on_terminal("import", "--org", "acme", file)
    assert (piped.code, piped.err, shown.code) == (0, "", 0)
    summary = (
        "lines 1, bad lines 0, customers created 1, devices created 1, assigned 1, already assigned 0, operation id "
    )
    assert piped.out.startswith(summary)
    assert "reading assignments.csv" in shown.out
    assert "applying 1 lines" in shown.out
    assert "━" in shown.out
    assert shown.out.endswith("assigned 0, already assigned 1\r\n")


def test_a_hundred_thousand_lines_are_imported(command: Command, database: Database, tenant: Tenant) -> None:
    file = command.file(HEADER, *(f"user{n // 50}@example.com,SN-{n:06},thermostat" for n in range(100_000)))
    started = time.monotonic()
    done = command(*LINES, file).json
    print(f"100,000 lines: {time.monotonic() - started:.1f} s on {database.engine.dialect.name}")  # noqa: T201
    assert (done["customers_created"], done["devices_created"], done["assigned"]) == (2_000, 100_000, 100_000)
    assert count(database, "assignment") == 100_000
