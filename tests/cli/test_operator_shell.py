"""The operator's commands: where the server is, who asks, and how a failure is told. `Operator` runs them for real."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli.command import command_line
from service.cli.remote import KEY_VARIABLE, is_loopback
from service.grpc_client.client import Client
from service.grpc_client.connection import Connection
from service.grpc_client.failure import CallFailed
from tests.conftest import Client as GrpcClient
from tests.conftest import Tenant

pytestmark = pytest.mark.process

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@dataclass(frozen=True)
class Operator:
    """Somebody at a shell, with a key in the environment."""

    address: str
    api_key: str

    @classmethod
    def at(cls, client: GrpcClient, tenant: Tenant) -> "Operator":
        """Sits down at a server of the fixtures."""
        channel: Any = client.channel
        return cls(channel._channel.target().decode().removeprefix("dns:///"), tenant.api_key)

    @property
    def environment(self) -> dict[str, str]:
        """What the commands find."""
        return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), KEY_VARIABLE: self.api_key, "COLUMNS": "100"}

    def command(self, *words: str) -> list[str]:
        """Writes a command for this server."""
        return [sys.executable, "-m", "service", words[0], "--address", self.address, *words[1:]]

    def run(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command without a terminal."""
        return subprocess.run(
            self.command(*words),
            env=self.environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Starts a command and goes on."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command(*words), env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def json(self, *words: str) -> Any:
        """Runs a command that must succeed and reads its only line of JSON."""
        done = self.run(words[0], "--json", *words[1:])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def here(self, *words: str, stdin: str | None = None) -> str:
        """Runs a command that must succeed in this process, where it need not start. Gives what it prints."""
        done = CliRunner().invoke(
            command_line(), self.command(*words)[3:], env={KEY_VARIABLE: self.api_key}, input=stdin
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    def json_here(self, *words: str) -> Any:
        """Reads the only line of JSON of such a command."""
        return json.loads(self.here(words[0], "--json", *words[1:]))


def run_here(words: Sequence[str], **environment: str) -> tuple[int, str]:
    """Runs a command that reaches no server, in this process. Gives its exit code and what it said."""
    done = CliRunner().invoke(command_line(), list(words), env={KEY_VARIABLE: None, **environment})
    return done.exit_code, done.output


@SQLITE
def test_a_key_that_is_not_good_fails_the_call_in_one_sentence_with_its_call_id(
    client: GrpcClient, tenant: Tenant, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("da_00000000_no\n")
    done = Operator.at(client, tenant).run("devices", "ada@example.com", "--api-key-file", str(file))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(
        f"error: A valid API key is required in the metadata x-api-key; the key came from {file} (call id "
    )
    assert done.stderr.count("\n") == 1
    assert "da_00000000_no" not in done.stderr


@SQLITE
def test_violations_are_listed_by_field(client: GrpcClient, tenant: Tenant) -> None:
    done = Operator.at(client, tenant).run("unassign", "nobody", "SN-1", "--note", "x" * 501, "--yes")
    assert done.returncode == 1
    sentence, *listed = [line for line in done.stderr.splitlines() if not line.startswith("Run id ")]
    assert sentence.startswith("error: The request is not valid (call id ")
    assert sorted(listed) == [
        "  customer_email: must be an e-mail address such as name@example.com",
        "  note: must have at most 500 characters, but has 501",
    ]


def test_a_server_that_is_not_there_is_said_to_be_out_of_reach() -> None:
    # Port 1 is one that nobody listens on.
    done = Operator("127.0.0.1:1", "da_x").run("history", "--timeout", "1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: The server at 127.0.0.1:1 cannot be reached: ")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["history"], "there is no API key"),
        (["history", "--api-key", "da_x"], "No such option"),
        (["history", "--address", "nowhere"], "must be HOST:PORT"),
        (["history", "--address", "a/b:1"], "must be HOST:PORT"),
        (["history", "--since", "yesterday"], "must be a time such as"),
        (["history", "--since", "0001-01-01T00:00+10:00"], "must be a time such as"),
        (["history", "--changes"], "needs an OPERATION_ID"),
        (["history", "op_1", "--key", "key_1"], "show one operation"),
        (["watch", "--after", "x", "--from-now"], "not both"),
        (["unassign", "a@example.com", "--yes"], "name at least one device"),
        (["unassign", "a@example.com", " x", "--yes"], "must not begin or end with white space"),
        (["unassign", "a@example.com", "x", "--yes", "--chunk-size", "100001"], "a call takes 100,000 devices"),
        (["unassign", "a@example.com", "x", "--yes", "--resume", "x"], "must be the run id"),
        (["assign", "a@example.com", "x", "--create-devices"], "go together"),
        (["assign", "a@example.com", "x", "--chunk-size", "20001"], "a call takes 20,000 devices"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_wrong(words: list[str], problem: str) -> None:
    key = {} if "no API key" in problem else {KEY_VARIABLE: "da_x"}
    code, said = run_here(words, **key)
    assert code == 2
    assert problem in " ".join(said.split())


@pytest.mark.parametrize(
    "words", [["unassign", "a@example.com", "x"], ["decommission", "a@example.com"], ["undo", "op_1"]]
)
def test_what_must_be_asked_about_is_refused_without_a_terminal_and_without_yes(words: list[str]) -> None:
    code, said = run_here(words, **{KEY_VARIABLE: "da_x"})
    assert code == 1
    assert said.startswith("error: this is no terminal, so the command cannot ask: add --yes")


def test_plaintext_is_for_loopback_alone() -> None:
    assert is_loopback("127.0.0.1:1")
    assert is_loopback("[::1]:1")
    assert is_loopback("localhost:1")
    assert not is_loopback("192.0.2.1:1")
    assert not is_loopback("127.0.0.1.example.com:1")
    assert not is_loopback("localhost.example.com:1")


class Scripted(Connection):
    """A connection whose calls end as they are told to."""

    def __init__(self, *ends: CallFailed | dict[str, Any]) -> None:
        self.ends = list(ends)
        self.requests: list[dict[str, Any]] = []

    def call(self, _method: str, request: dict[str, Any], _api_key: str, _seconds: float | None) -> dict[str, Any]:
        """Ends as the next word says."""
        self.requests.append(dict(request))
        end = self.ends.pop(0)
        if isinstance(end, CallFailed):
            raise end
        return end


PASSING = [
    CallFailed("UNAVAILABLE", "away", retry_seconds=0.01),
    CallFailed("RESOURCE_EXHAUSTED", "busy", retry_seconds=0.01),
    CallFailed("ABORTED", "conflict", "ERROR_REASON_CONFLICT", retry_seconds=0.01),
]
LASTING = [
    CallFailed("ABORTED", "moved", "ERROR_REASON_REVISION_MOVED"),
    CallFailed("RESOURCE_EXHAUSTED", "too big"),
    CallFailed("NOT_FOUND", "nobody"),
    CallFailed("DEADLINE_EXCEEDED", "too slow"),
]


def test_what_passes_is_tried_again_with_the_same_request() -> None:
    connection = Scripted(*PASSING, {"done": True})
    waits: list[float] = []
    client = Client(connection, "key", 10, lambda _failed, delay: waits.append(delay))
    assert client.call("UnassignDevices", request_id="r") == {"done": True}
    assert connection.requests == [{"request_id": "r"}] * 4
    assert all(0.01 <= delay < 0.02 for delay in waits)


@pytest.mark.parametrize("failed", LASTING, ids=lambda failed: failed.text)
def test_what_does_not_pass_is_not_tried_again(failed: CallFailed) -> None:
    connection = Scripted(failed)
    with pytest.raises(CallFailed) as caught:
        Client(connection, "key", 10, lambda _failed, _delay: None).call("UnassignDevices")
    assert caught.value is failed


def test_patience_ends() -> None:
    connection = Scripted(*[PASSING[0]] * 100)
    with pytest.raises(CallFailed):
        Client(connection, "key", 10, lambda _failed, _delay: None).call("UnassignDevices")
    assert len(connection.requests) == 8
    hopeless = Scripted(CallFailed("UNAVAILABLE", "away", retry_seconds=60))
    with pytest.raises(CallFailed):
        Client(hopeless, "key", 10, lambda _failed, _delay: None).call("UnassignDevices")
