"""The command as a whole: its help and its exit codes."""

import re
from importlib.metadata import version
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from service.cli.command import command_line
from tests.cli.conftest import Command


def commands(found: Any = None, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Lists every command and group."""
    found = found or get_command(command_line())
    return [path, *(p for name, sub in getattr(found, "commands", {}).items() for p in commands(sub, (*path, name)))]


def test_help_is_shown_and_wrong_usage_exits_with_2(plain: Command) -> None:
    shown, nothing, nonsense, option = plain.each(("--help",), (), ("nonsense",), ("org", "list", "--jsn"))
    assert (shown.code, shown.err) == (0, "")
    assert "serve" in shown.out
    assert (nothing.code, nonsense.code, option.code) == (2, 2, 2)
    assert "No such command 'nonsense'" in nonsense.err
    assert "No such option: --jsn" in option.err


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_the_help_of_every_command_names_the_environment_and_cuts_nothing(path: tuple[str, ...]) -> None:
    # In this process: what is the same for all commands is seen with a real one above.
    shown = CliRunner().invoke(command_line(), [*path, "--help"], terminal_width=80)
    assert shown.exit_code == 0
    assert "Usage: " in shown.output
    remote = "--address" in shown.output
    assert ("DEVICE_ASSIGNMENT_API_KEY" if remote else "DEVICE_ASSIGNMENT_DATABASE_URL") in shown.output
    assert "..." not in shown.output.partition("Commands:")[2]
    assert not re.search(r"<[a-z]|\{|x[<>]=|\(127|list\[", shown.output), "Python's types or notation"


def test_the_version_is_that_of_the_package(plain: Command) -> None:
    shown = plain("--version")
    assert (shown.code, shown.out, shown.err) == (0, f"device-assignment {version('device-assignment')}\n", "")


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("DEVICE_ASSIGNMENT_THREAD", "did you mean DEVICE_ASSIGNMENT_THREADS?"),
        ("DEVICE_ASSIGNMENT_threads", "did you mean DEVICE_ASSIGNMENT_THREADS?"),
        ("DEVICE_ASSIGNMENT_DATABSE_URL", "did you mean DEVICE_ASSIGNMENT_DATABASE_URL?"),
        ("DEVICE_ASSIGNMENT_COLOUR_OF_DOOR", "docs/operate.md lists the settings"),
    ],
)
def test_a_variable_that_is_no_setting_is_warned_of(sqlite: Command, variable: str, advice: str) -> None:
    answer = sqlite("org", "list", **{variable: "secret-value"})
    assert answer.code == 0
    assert answer.err == f"warning: {variable} is not a setting and has no effect; {advice}\n"


def test_variables_that_are_known_or_set_by_kubernetes_are_not_warned_of(sqlite: Command) -> None:
    address = "tcp://10.0.0.7:50051"
    answer = sqlite(
        "org",
        "list",
        DEVICE_ASSIGNMENT_THREADS="4",
        DEVICE_ASSIGNMENT_API_KEY="da_x",
        DEVICE_ASSIGNMENT_SERVICE_HOST="10.0.0.7",
        DEVICE_ASSIGNMENT_SERVICE_PORT="50051",
        DEVICE_ASSIGNMENT_SERVICE_PORT_GRPC="50051",
        DEVICE_ASSIGNMENT_PORT=address,
        DEVICE_ASSIGNMENT_PORT_50051_TCP=address,
        DEVICE_ASSIGNMENT_PORT_50051_TCP_ADDR="10.0.0.7",
    )
    assert (answer.code, answer.err) == (0, "")
