"""The database that a command works in, and the organisation that it works for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from service import config
from service.cli.output import fail
from service.storage import location, schema
from service.storage.database import Database
from service.storage.organizations import Organization, Organizations

OrganizationName = Annotated[str, typer.Option("--org", metavar="NAME", help="The organisation's name or id.")]


@contextmanager
def opened() -> Iterator[Database]:
    """Opens the database of the settings, if it is at the current step, and words what its driver says."""
    database = Database(config.load().database_url)
    try:
        with location.worded(database.url):
            schema.check(database)
            yield database
    finally:
        database.close()


def organization(database: Database, name: str) -> Organization:
    """Finds an organisation, or ends the command."""
    found = Organizations(database).named(name)
    return found or fail(f"there is no organisation {name!r}; `device-assignment org list` shows them")
