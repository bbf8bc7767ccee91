"""Puts the commands together and turns what went wrong into a sentence and an exit code."""

import sys
import traceback
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer

from service import config
from service.cli import streams
from service.cli.help_page import PlainCommand
from service.cli.output import ENVIRONMENT, warn
from service.domain.errors import ServiceError
from service.runtime.operator_error import OperatorError
from service.runtime.redaction import redact
from service.version import VERSION


class _Command(NamedTuple):
    """A command's name, the place of its function, or of its group where there is no summary, and its summary."""

    name: str
    module: str
    attribute: str
    summary: str | None = None


_AT_THE_DATABASE = (
    _Command("serve", "serving", "serve", "Serve gRPC, and REST beside it."),
    _Command("gateway", "gateway", "gateway", "Serve REST, for a server elsewhere."),
    _Command("db", "admin", "database"),
    _Command("org", "admin", "organizations"),
    _Command("key", "admin", "keys"),
    _Command("import", "files", "import_file", "Assign the devices in a CSV file."),
    _Command("export", "files", "export_file", "Print the assignments as CSV."),
)
_AT_A_SERVER = (
    _Command("unassign", "writes", "unassign", "Take devices from a customer."),
    _Command("assign", "writes", "assign", "Assign devices to a customer."),
    _Command("transfer", "writes", "transfer", "Move devices to another customer."),
    _Command("decommission", "single_writes", "decommission", "Take everything from a leaving customer."),
    _Command("owners", "lookups", "owners", "Show who owns devices, or owned them."),
    _Command("devices", "lookups", "devices", "List the devices of a customer."),
    _Command("history", "lookups", "history", "Show what was changed, when and why."),
    _Command("undo", "single_writes", "undo", "Undo one operation."),
    _Command("watch", "watching", "watch", "Print operations as they happen."),
)


_WITH_LOG = ("serve", "gateway")
"""The commands whose standard error is a log, and which put their warnings there."""


def command_line(first_argument: str | None = None) -> typer.Typer:
    """Builds the command line.

    Args:
        first_argument: if it names a command, only that one is loaded: none needs both SQL and a gRPC client, and each
            takes as long to load as most commands to work. Otherwise all are, for the help.
    """
    app = typer.Typer(
        name="device-assignment",
        help="Owns which device belongs to which customer, for many organisations at once.",
        epilog=ENVIRONMENT,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    # With a callback, a single command is still called by its name.
    app.callback()(_every_command)
    every = (*_AT_THE_DATABASE, *_AT_A_SERVER)
    for command in [command for command in every if command.name == first_argument] or every:
        found: Any = getattr(import_module(f"service.cli.{command.module}"), command.attribute)
        if command.summary is None:
            app.add_typer(found, name=command.name)
        elif command in _AT_THE_DATABASE:
            app.command(command.name, cls=PlainCommand, short_help=command.summary, epilog=ENVIRONMENT)(found)
        else:
            panel = "Against a running server"
            app.command(command.name, cls=PlainCommand, short_help=command.summary, rich_help_panel=panel)(found)
    return app


def _print_version(asked: bool) -> None:
    if asked:
        print(f"device-assignment {VERSION}")
        raise typer.Exit


def _every_command(
    context: typer.Context,
    *,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand not in _WITH_LOG:
        for warning in config.misspelt():
            warn(warning)


def main() -> None:
    """Runs the command line and ends the process."""
    streams.open_missing()
    try:
        try:
            command_line(sys.argv[1] if len(sys.argv) > 1 else None)()
        finally:
            streams.finish_output()
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell reports a process that SIGINT ended
    except Exception as error:  # noqa: BLE001  # whatever it is, it is one sentence and an exit code
        if not isinstance(error, BrokenPipeError):  # the reader has what it wanted
            streams.say(f"error: {_sentence(error)}")
        streams.drop_output()
        sys.exit(1)


def _sentence(error: Exception) -> str:
    """Words an error in one line."""
    match error:
        case OperatorError() | ServiceError():
            return str(error)
        case OSError() if error.strerror:
            where = "" if error.filename is None else f"{error.filename}: "
            return where + error.strerror
        case UnicodeEncodeError():
            return f"some of the text cannot be written as {error.encoding}; use UTF-8 throughout"
    if sys.flags.dev_mode:
        streams.say(redact("".join(traceback.format_exception(error))))
    text = redact(str(error)).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text} (this should not happen; PYTHONDEVMODE=1 shows where it did)"
