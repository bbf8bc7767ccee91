"""`serve`: how it starts, what it logs, and how it ends."""

import ctypes
import signal
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Launch
from tests.conftest import Client, Tenant, failure
from tests.grpc_server.conftest import eventually
from tests.grpc_server.pairs import pair


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_after_its_calls_and_what_it_logs_is_no_secret(
    command: Command, launch: Launch, tenant: Tenant, number: int
) -> None:
    tenant.assign("ada@example.com", ["A", "B"])
    server = launch(command)
    client = Client(server.port)
    answer = client.unassign(tenant, "ada@example.com", ["A", "X"], note="sent back by the lawyer")
    stranger = Tenant(tenant.database, "", "", "da_00000000_" + "0" * 40)
    failure(lambda: client.unassign(stranger, "ada@example.com", ["B"], note="sent back by the lawyer"))
    failure(lambda: client.unassign(tenant, "grace@example.com", ["B"]))
    failure(lambda: client.unassign(tenant, "no e-mail @ all", ["\n"]))
    client.channel.close()
    arguments = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
    ended = server.stop(number)
    assert (ended.code, ended.out) == (0, "")

    assert [event["event"] for event in server.events] == ["serving", *["call"] * 4, "stopping", "stopped"]
    assert server.events[0]["version"] == version("device-assignment")
    call, unauthenticated, unknown, invalid = server.events[1:5]
    assert call["method"].endswith("/UnassignDevices")
    assert (call["status"], call["organization_id"], call["key_id"]) == ("OK", tenant.id, tenant.key_id)
    assert call["duration_ms"] > 0
    assert call["call_id"]
    assert (unauthenticated["status"], unauthenticated.get("key_id")) == ("UNAUTHENTICATED", None)
    assert (unknown["status"], invalid["status"]) == ("NOT_FOUND", "INVALID_ARGUMENT")
    assert answer.operation_id
    for secret in ("@", "lawyer", "da_", tenant.api_key, stranger.api_key):
        assert secret not in ended.err
    assert b"da_" not in arguments


def test_a_signal_that_the_system_hands_to_another_thread_ends_it_too(sqlite: Command, launch: Launch) -> None:
    server = launch(sqlite)
    pid = server.process.pid
    thread = next(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if int(task.name) != pid)
    assert ctypes.CDLL(None).tgkill(pid, thread, int(signal.SIGTERM)) == 0
    eventually(lambda: server.process.poll() is not None)
    assert server.stop(signal.SIGTERM).code == 0


def test_a_terminal_gets_a_log_for_people(sqlite: Command) -> None:
    shown = sqlite.on_terminal("serve", "--grpc-address", "127.0.0.1:0", interrupt_after=b"serving")
    assert shown.code == 0
    assert "stopping" in shown.out
    assert "stopped" in shown.out
    assert '{"' not in shown.out


def test_a_second_server_on_the_same_port_says_that_it_is_taken(sqlite: Command, launch: Launch) -> None:
    address = f"127.0.0.1:{launch(sqlite).port}"
    answer = sqlite("serve", "--grpc-address", address)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"error: cannot listen on {address}: Address already in use\n"


def test_wrong_usage_is_told_before_anything_is_opened(plain: Command) -> None:
    runs = {
        ("--grpc-address", "0.0.0.0:50051"): "plaintext beyond loopback shows API keys to the network: use --tls-cert",
        ("--grpc-address", "::1:50051"): "must be HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051",
        ("--tls-cert", "cert.pem"): "--tls-cert and --tls-key go together",
        ("--prot", "1"): "No such option",
    }
    answers = plain.each(*(("serve", *arguments) for arguments in runs))
    for answer, problem in zip(answers, runs.values(), strict=True):
        assert (answer.code, answer.out) == (2, "")
        assert problem in answer.err


def test_a_certificate_that_is_none_is_named(sqlite: Command) -> None:
    (sqlite.folder / "cert.pem").write_text("no certificate")
    bad, missing = sqlite.each(
        ("serve", "--tls-cert", "cert.pem", "--tls-key", "cert.pem"),
        ("serve", "--tls-cert", "cert.pem", "--tls-key", "key.pem"),
    )
    assert (bad.code, missing.code) == (1, 1)
    assert bad.err == "error: cert.pem and cert.pem cannot be used: the certificate's file has no certificate in PEM\n"
    assert missing.err == "error: key.pem: No such file or directory\n"


def test_a_key_of_another_certificate_is_named_with_it(sqlite: Command, tmp_path: Path) -> None:
    certificate, _ = pair(tmp_path / "pair")
    _, other = pair(tmp_path / "other")
    answer = sqlite("serve", "--grpc-address", "127.0.0.1:0", "--tls-cert", str(certificate), "--tls-key", str(other))
    assert answer.code == 1
    assert answer.err == (
        f"error: {other} does not belong to {certificate}: the first certificate in it has another key\n"
    )


def test_a_misspelt_setting_is_logged_at_the_start(sqlite: Command, launch: Launch) -> None:
    server = launch(sqlite, DEVICE_ASSIGNMENT_TREADS="4")
    assert server.stop(signal.SIGTERM).code == 0
    (warning,) = [event for event in server.events if event["event"] == "unknown setting"]
    assert warning["level"] == "warning"
    assert warning["reason"].endswith("; did you mean DEVICE_ASSIGNMENT_THREADS?")


def test_a_bad_setting_is_named(plain: Command) -> None:
    answer = plain("serve", DEVICE_ASSIGNMENT_THREADS="0", DEVICE_ASSIGNMENT_LOG_FORMAT="xml")
    assert (answer.code, answer.out) == (1, "")
    assert "DEVICE_ASSIGNMENT_THREADS must be a whole number, from 1 to 256" in answer.err
    assert "DEVICE_ASSIGNMENT_LOG_FORMAT must be one of auto, json, console" in answer.err
    assert answer.err.count("\n") == 1
