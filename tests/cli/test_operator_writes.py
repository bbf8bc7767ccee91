"""The operator's commands against a running server, as processes of their own."""

import csv
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from service.app import Service
from service.config import Settings
from tests.cli.test_operator_shell import SQLITE, Operator
from tests.conftest import Client, Tenant
from tests.grpc_server.conftest import eventually

pytestmark = pytest.mark.process

ADA, BOB = "ada@example.com", "bob@example.com"
ODD = ["AA:ab:11", "[bold]x", 'a,"b"', "-dash", "日本 語"]


def outcomes(file: Path) -> list[list[str]]:
    with file.open(newline="") as text:
        return list(csv.reader(text))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_life_of_devices_from_assignment_to_undo(client: Client, tenant: Tenant, tmp_path: Path) -> None:
    shell = Operator.at(client, tenant)
    written = tmp_path / "outcomes.csv"
    made = shell.json_here("assign", ADA, "--create-devices", "--device-type", "t", "--note", "new", "--", *ODD)
    assert (made["assigned"], made["customer_was_created"], made["reasons"]) == (5, True, {"device_created": 5})

    listed = shell.here("devices", ADA)
    assert [row[0] for row in csv.reader(listed.splitlines())] == ["device_identifier", *sorted(ODD)]

    # What one command prints, another reads.
    moved = shell.here("transfer", ADA, BOB, "gone", "--file", "-", "--outcomes", str(written), stdin=listed)
    assert re.search(r"^transferred +5$", moved, re.MULTILINE)
    assert re.search(r"^gone +unknown device$", moved, re.MULTILINE)
    assert outcomes(written)[1:] == [
        ["gone", "skipped", "unknown_device"],
        *([device, "transferred", ""] for device in sorted(ODD)),
    ]

    operation = shell.json_here("history", "--device", "[bold]x", "--limit", "1")
    assert (operation["kind"], operation["assigned_count"], operation["key_id"]) == ("transfer", 5, tenant.key_id)
    shown = shell.here("history", operation["operation_id"], "--changes")
    assert len(re.findall(r"^[+-] cust_\w+ \[bold]x$", shown, re.MULTILINE)) == 2
    owner = shell.here("owners", "AA:ab:11", "nope")
    assert re.search(rf"^AA:ab:11 +{BOB} ", owner, re.MULTILINE)
    assert re.search(r"^nope +\(unknown device\)$", owner, re.MULTILINE)
    # Without a zone it is UTC; a microsecond before the transfer the old owner has it.
    before = datetime.fromisoformat(operation["occurred_at"]).replace(tzinfo=None) - timedelta(microseconds=1)
    then = shell.json_here("owners", "AA:ab:11", "--at", before.isoformat())
    assert [owner["email"] for owner in then["owners"]] == [ADA]

    taken = shell.json_here("unassign", BOB, "AA:ab:11", "--yes")
    assert (taken["unassigned"], taken["remaining_count"]) == (1, 4)
    undone = shell.here("undo", operation["operation_id"], "--yes")
    assert re.search(r"^reverted count +4$", undone, re.MULTILINE)
    assert re.search(r"^AA:ab:11 +changed since$", undone, re.MULTILINE)
    assert shell.json_here("decommission", ADA, "--yes")["unassigned_count"] == 4


@contextmanager
def serving(url: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Serves from another process, so that it can be killed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "DEVICE_ASSIGNMENT_DATABASE_URL": url}
    command = [sys.executable, "-m", "service", "serve", "--workers", "1", "--grpc-address", f"127.0.0.1:{port}"]
    server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_run_over_25000_devices_whose_server_is_killed_midway_is_taken_up_again(
    database_url: str, tenant: Tenant, tmp_path: Path
) -> None:
    devices = [f"SN-{number:05}" for number in range(25_000)]
    tenant.assign(ADA, devices[:24_000])
    file, written = tmp_path / "list.csv", tmp_path / "outcomes.csv"
    file.write_text("device_identifier,why\n" + "".join(f"{device},returned\n" for device in devices))
    shell = Operator(f"127.0.0.1:{free_port()}", tenant.api_key)
    port = int(shell.address.rpartition(":")[2])
    words = ["unassign", ADA, "--file", str(file), "--outcomes", str(written), "--chunk-size", "500", "--yes"]
    with serving(database_url, port) as server:
        eventually(lambda: listens(port))
        run = shell.start(*words, "--timeout", "8", "--json")
        while not written.exists() or written.read_bytes().count(b"\n") < 3_000:
            assert run.poll() is None, run.communicate()
            time.sleep(0.01)
        server.kill()
        server.wait()
        said = run.communicate()[1]
    assert run.returncode == 1
    assert "cannot be reached" in said.splitlines()[-1]
    found = re.search(r"To go on, add --resume (\S+)$", said, re.MULTILINE)
    assert found, said
    assert len(outcomes(written)) < 25_000

    service = Service(Settings(database_url=database_url))
    service.start(shell.address)
    try:
        done = shell.json(*words, "--resume", found[1])
    finally:
        service.stop()
    assert done["run_id"] == found[1]
    assert (done["unassigned"], done["skipped"], done["reasons"]) == (24_000, 1_000, {"unknown_device": 1_000})
    assert done["remaining_count"] == 0
    # Nothing was done twice, and what had been done before the break is told as if there had been none.
    assert len(set(done["operation_ids"])) == 48
    assert outcomes(written)[1:] == [
        *([device, "unassigned", ""] for device in devices[:24_000]),
        *([device, "skipped", "unknown_device"] for device in devices[24_000:]),
    ]


def at_a_terminal(command: list[str], environment: dict[str, str], typed: str) -> tuple[int, str]:
    """Runs a command at a terminal and types an answer at its question. Gives the exit code and all that was shown."""
    master, slave = pty.openpty()
    child = subprocess.Popen(command, env=environment, stdin=slave, stdout=slave, stderr=slave, close_fds=True)
    os.close(slave)
    shown = ""
    asked = False
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                got = os.read(master, 65_536)
            except OSError:  # so the end looks on Linux
                break
            shown += got.decode()
        if "[y/N]" in shown and not asked:
            asked = True
            os.write(master, typed.encode())
    code = child.wait(10)
    os.close(master)
    return code, shown


@SQLITE
def test_somebody_at_a_terminal_sees_a_preview_is_asked_and_sees_the_progress(
    client: Client, tenant: Tenant, tmp_path: Path
) -> None:
    tenant.assign(ADA, [f"SN-{number}" for number in range(3_000)])
    file = tmp_path / "list"
    file.write_text("".join(f"SN-{number}\n" for number in range(3_010)))
    shell = Operator.at(client, tenant)
    command = shell.command("unassign", ADA, "--file", str(file), "--chunk-size", "1000")
    environment = {**shell.environment, "TERM": "xterm"}
    code, shown = at_a_terminal(command, environment, "n\n")
    assert code == 1
    assert "error: nothing was changed" in shown
    assert len(client.devices(tenant, ADA)) == 3_000

    code, shown = at_a_terminal(command, environment, "y\n")
    assert code == 0, shown
    assert "Preview: this would happen now." in shown
    assert re.search(r"skipped: unknown device +10\r", shown)
    assert "Unassign these devices from ada@example.com? [y/N]" in shown
    assert "looking" in shown
    assert re.search(r"unassigning.*3010/3010.*100%", shown)
    assert re.search(r"remaining count +0\r", shown)
    assert client.devices(tenant, ADA) == []


@SQLITE
def test_the_key_is_in_no_process_list_and_a_preview_changes_nothing(
    client: Client, tenant: Tenant, tmp_path: Path
) -> None:
    tenant.assign(ADA, ["SN-1"])
    shell = Operator.at(client, tenant)
    key = tmp_path / "key"
    key.write_text(f"{tenant.api_key}\n")
    command = shell.command("unassign", ADA, "SN-1", "--preview", "--json", "--api-key-file", str(key))
    assert not any(tenant.api_key in word for word in command)
    environment = {**shell.environment, "DEVICE_ASSIGNMENT_API_KEY": ""}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
        seen = Path(f"/proc/{run.pid}/cmdline").read_bytes() if sys.platform == "linux" else b""
        answer = json.loads(run.communicate()[0])
    assert tenant.api_key.encode() not in seen
    assert answer == {"preview": True, "unassigned": 1, "skipped": 0, "reasons": {}, "operation_ids": []}
    assert client.devices(tenant, ADA) == ["SN-1"]


def test_a_watch_outlives_its_server_and_ends_with_the_token_to_go_on_with(database_url: str, tenant: Tenant) -> None:
    port = free_port()
    settings = Settings(database_url=database_url, drain_seconds=1)

    def served() -> Service:
        service = Service(settings)
        service.start(f"127.0.0.1:{port}")
        return service

    tenant.assign(ADA, ["SN-0"])
    service = served()
    watch = Operator(f"127.0.0.1:{port}", tenant.api_key).start("watch", "--json")
    assert watch.stdout is not None
    lines = [json.loads(watch.stdout.readline())]
    tenant.assign(ADA, ["SN-1"])
    lines.append(json.loads(watch.stdout.readline()))
    service.stop()
    tenant.assign(ADA, ["SN-2"])
    service = served()
    try:
        lines.append(json.loads(watch.stdout.readline()))
        tenant.assign(ADA, ["SN-3"])
        lines.append(json.loads(watch.stdout.readline()))
        watch.send_signal(signal.SIGINT)
        rest, said = watch.communicate(timeout=120)
    finally:
        watch.kill()
        service.stop()
    assert (watch.returncode, rest) == (0, "")
    assert [line["assigned_count"] for line in lines] == [1, 1, 1, 1]
    assert len({line["operation_id"] for line in lines}) == 4
    assert said.splitlines()[-1] == f"go on with --after {lines[-1]['resume_token']}"
    assert "trying again" in said
