"""Puts the commands together and turns what went wrong into a sentence and an exit code."""

import sys

import typer

from service.cli import admin, files, gateway, lookups, serving, single_writes, watching, writes
from service.cli.output import ENVIRONMENT
from service.config import BadSetting
from service.domain.errors import ServiceError
from service.domain.import_lines import NotAnImport
from service.storage.database import UnsupportedDatabase
from service.storage.schema import NotCurrent

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
app.command("serve", short_help="Serve gRPC.", epilog=ENVIRONMENT)(serving.serve)
app.command("gateway", short_help="Serve REST, for a server elsewhere.", epilog=ENVIRONMENT)(gateway.gateway)
app.add_typer(admin.database, name="db")
app.add_typer(admin.organizations, name="org")
app.add_typer(admin.keys, name="key")
app.command("import", short_help="Assign the devices in a CSV file.", epilog=ENVIRONMENT)(files.import_file)
app.command("export", short_help="Print the assignments as CSV.", epilog=ENVIRONMENT)(files.export_file)
for command, summary in (
    (writes.unassign, "Take devices from a customer."),
    (writes.assign, "Give devices to a customer."),
    (writes.transfer, "Move devices to another customer."),
    (single_writes.decommission, "Take everything from a leaving customer."),
    (lookups.owners, "Show who owns devices, or owned them."),
    (lookups.devices, "List the devices of a customer."),
    (lookups.history, "Show what was changed, when and why."),
    (single_writes.undo, "Undo one operation."),
    (watching.watch, "Print operations as they happen."),
):
    app.command(short_help=summary, rich_help_panel="Against a running server")(command)

_EXPECTED = (
    BadSetting,
    NotAnImport,
    NotCurrent,
    OSError,
    ServiceError,
    UnsupportedDatabase,
)


def main() -> None:
    """Runs the command line and ends the process."""
    try:
        app()
    except _EXPECTED as error:
        sys.stderr.write(f"error: {_told(error)}\n")
        sys.exit(1)


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
