"""The command as a whole: its help and its exit codes."""

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
    assert "<" not in shown.output.partition("Options:")[2], "a type instead of a name for the value"
