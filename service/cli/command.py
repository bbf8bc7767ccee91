"""Puts the commands together and turns what went wrong into a sentence and an exit code."""

import sys

import typer

from service.cli import admin, files, serving
from service.config import BadSetting
from service.domain.errors import ServiceError
from service.domain.import_lines import NotAnImport
from service.storage.database import UnsupportedDatabase
from service.storage.schema import NotCurrent
from service.transport.server import AddressUnavailable

app = typer.Typer(
    name="device-assignment",
    help="Owns which device belongs to which customer, for many organisations at once.\n\n"
    "The database and every other setting come from environment variables that begin with DEVICE_ASSIGNMENT_; "
    "the README lists them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serving.serve)
app.add_typer(admin.database, name="db")
app.add_typer(admin.organizations, name="org")
app.add_typer(admin.keys, name="key")
app.command("import")(files.import_file)
app.command("export")(files.export_file)

_EXPECTED = (
    AddressUnavailable,
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
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
