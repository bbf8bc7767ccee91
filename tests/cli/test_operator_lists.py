"""The operator's lists of devices, and the names of runs over them."""

from pathlib import Path

import pytest

from service.cli import lookups, run_id
from service.cli.device_list import read_devices
from service.runtime.terminal import visible
from tests.cli.test_operator_shell import run_here

pytestmark = pytest.mark.process

CONTENT: list[object] = ["UnassignDevices", [("note", "x")], ["SN-1", "SN-2"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SN-1\nSN-2\n", ["SN-1", "SN-2"]),
        ("\ufeffSN-1\r\n\r\n  SN-2  ", ["SN-1", "SN-2"]),
        ('a,"b"\nAA:ab:11\nSN-1\u2028x\nSN-1\u2028x\n', ['a,"b"', "AA:ab:11", "SN-1\u2028x"]),
        ("device_identifier\n", []),
        ("\ufeffcustomer_email, device_identifier\nada@example.com, SN-1\n", ["SN-1"]),
        ('device_identifier,x\n"a,""b""",1\n\nSN-2,2\n', ['a,"b"', "SN-2"]),
    ],
)
def test_a_file_is_lines_or_a_column_of_csv(text: str, expected: list[str], tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_bytes(text.encode())
    assert read_devices(["first"], str(file)) == ["first", *expected]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"SN-1\nSN\x002\n" + b"x" * 256, "line 2: must not contain control characters\nline 3: must have at most 255"),
        (b"device_identifier,x\nSN-1,1\n,2\n", "line 3: must not be empty"),
        (b"\xff\n", "is not UTF-8 text"),
        (b'device_identifier\n"open\n', "cannot be read as CSV"),
        (b"\n", "there are no identifiers in"),
    ],
)
def test_a_bad_file_is_refused_with_its_lines_and_nothing_is_sent(content: bytes, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_bytes(content)
    code, said = run_here(["owners", "--file", str(file), "--address", "127.0.0.1:1"], DEVICE_ASSIGNMENT_API_KEY="da_x")
    assert code == 1
    assert problem in said


def test_the_list_is_not_written_over_by_its_outcomes(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("SN-1\n")
    words = ["assign", "a@example.com", "--file", str(file), "--outcomes", str(file), "--address", "127.0.0.1:1"]
    code, said = run_here(words, DEVICE_ASSIGNMENT_API_KEY="da_x")
    assert code == 2
    assert "is the list of devices itself" in said
    assert file.read_text() == "SN-1\n"


def test_a_run_is_taken_up_by_the_same_command_and_no_other() -> None:
    run = run_id.begin(CONTENT)
    assert run_id.take_up(str(run), CONTENT) == run
    assert run_id.request_id(run, 0) == run_id.request_id(run, 0) != run_id.request_id(run, 1)
    assert run_id.begin(CONTENT) != run
    with pytest.raises(run_id.NotThisRun, match="another one"):
        run_id.take_up(str(run), [*CONTENT[:2], ["SN-2", "SN-1"]])


def test_a_run_is_forgotten_after_a_day() -> None:
    run = run_id.begin(CONTENT, now=lambda: 1_000_000.0)
    assert run_id.take_up(str(run), CONTENT, now=lambda: 1_086_399.0) == run
    with pytest.raises(run_id.NotThisRun, match="24 hours"):
        run_id.take_up(str(run), CONTENT, now=lambda: 1_086_401.0)


def test_a_call_has_no_more_devices_and_no_more_bytes_than_the_server_takes() -> None:
    assert [len(chunk) for chunk in run_id.chunks([f"SN-{n}" for n in range(25)], 10)] == [10, 10, 5]
    wide = [f"{n:06}" + "\U0001f600" * 249 for n in range(9_000)]
    cut = run_id.chunks(wide, 10_000)
    assert [device for chunk in cut for device in chunk] == wide
    assert all(len("".join(chunk).encode()) <= 3 * 1024 * 1024 for chunk in cut)
    assert len(cut) == 3


def test_what_would_steer_a_terminal_is_shown_by_its_number() -> None:
    assert visible("a\x1b[31m\n\x9b:ab:[bold]é\u2028\u202e") == r"a\x1b[31m\n\x9b:ab:[bold]é\u2028\u202e"


def test_an_owner_whose_address_the_key_may_not_read_has_a_row_that_says_so() -> None:
    owner = {"email": "", "assigned_at": "2026-01-01T00:00:00Z", "customer_id": "cust_1"}
    device = {"device_identifier": "SN-1", "found": True, "owner_count": 1, "owners": [owner]}
    assert lookups.owner_rows(device) == [("SN-1", "(needs customers:read)", "2026-01-01T00:00:00Z", "cust_1")]
