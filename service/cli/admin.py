"""`db`, `org` and `key`: the commands that set a database up."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from service import config
from service.cli import checking
from service.cli.help_page import PlainCommand
from service.cli.opened import OrganizationName, opened, organization
from service.cli.output import ENVIRONMENT, AsJson, fail, show, show_one
from service.domain import identifiers
from service.domain.keys import SCOPES, ApiKey, check_scopes
from service.storage import location, pruning, schema
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.organizations import NameTaken, Organizations

database = typer.Typer(help="The database's tables.", epilog=ENVIRONMENT, no_args_is_help=True)
organizations = typer.Typer(help="Organisations, the tenants.", epilog=ENVIRONMENT, no_args_is_help=True)
keys = typer.Typer(help="API keys, each for one organisation.", epilog=ENVIRONMENT, no_args_is_help=True)

_DURATION = re.compile(r"([1-9]\d{0,5})([mhd])")
_OLDEST = timedelta(days=36_500)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@database.command("upgrade", cls=PlainCommand, epilog=ENVIRONMENT)
def upgrade() -> None:
    """Bring the tables up to date. Makes an SQLite file that is not there yet."""
    opened_database = Database(config.load().database_url)
    try:
        before, now = schema.upgrade(opened_database)
    finally:
        opened_database.close()
    if before == now:
        print(f"tables are up to date (version {int(now)})")
    elif before:
        print(f"tables upgraded from version {int(before)} to version {int(now)}")
    else:
        print(f"tables created (version {int(now)})")


database.command("check", cls=PlainCommand, epilog=ENVIRONMENT)(checking.check)


@database.command("backup", cls=PlainCommand, epilog=ENVIRONMENT)
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist.")],
) -> None:
    """Copy an SQLite database to FILE while it is served.

    The copy is a database of its own: to restore it, stop the server and put it in the place of the other, without the
    files -wal and -shm of that.
    """
    current = Database(config.load().database_url)
    try:
        if missing := current.backend.missing_file("run `device-assignment db upgrade`"):
            fail(missing)
        # Whatever the version of its tables: a backup comes before an upgrade.
        with location.worded(current.url):
            size = current.backend.copy_to(file)
    finally:
        current.close()
    print(f"copied to {file} ({size} bytes)")


@database.command("prune", cls=PlainCommand, epilog=ENVIRONMENT)
def prune(
    older_than: Annotated[str, typer.Option(metavar="AGE", help="Such as 400d; one day at least.")],
) -> None:
    """Remove the history that is older than that. The present assignments and all records stay.

    Removes assignments that ended, and operations, in small transactions while servers run. Questions about an earlier
    time are refused from then on. It cannot be undone.
    """
    age = _age(older_than)
    with opened() as current:
        done = pruning.prune(current, age)
        before = done.before.isoformat(timespec="seconds")
        print(f"removed {done.assignments} ended assignments and {done.operations} operations from before {before}")


def _age(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    age = int(match[1]) * _UNITS[match[2]] if match else timedelta(0)
    if not timedelta(days=1) <= age <= _OLDEST:
        raise typer.BadParameter("must be a duration such as 400d, from 1d to 36500d", param_hint="--older-than")
    return age


@organizations.command("create", cls=PlainCommand, epilog=ENVIRONMENT)
def create_organization(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that no other organisation has.")],
    as_json: AsJson = False,
) -> None:
    """Add an organisation."""
    if problem := identifiers.problem(name):
        raise typer.BadParameter(problem, param_hint="NAME")
    with opened() as current:
        try:
            made = Organizations(current).create(name)
        except NameTaken:
            fail(f"there is an organisation {name!r} already")
    show_one({"organization_id": made.id, "name": made.name}, as_json=as_json)


@organizations.command("list", cls=PlainCommand, epilog=ENVIRONMENT)
def list_organizations(as_json: AsJson = False) -> None:
    """List the organisations."""
    with opened() as current:
        rows = [{"organization_id": found.id, "name": found.name} for found in Organizations(current).all()]
    show(rows, as_json=as_json, empty="no organisations")


def _expiry(text: str | None) -> datetime | None:
    if text is None:
        return None
    now = datetime.now(UTC)
    if match := _DURATION.fullmatch(text):
        return now + int(match[1]) * _UNITS[match[2]]
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "must be a duration such as 90d, 12h or 30m, or a date such as 2030-01-31", param_hint="--expires"
        ) from None
    if moment <= now:
        raise typer.BadParameter("lies in the past", param_hint="--expires")
    return moment


@keys.command("create", cls=PlainCommand, epilog=ENVIRONMENT)
def create_key(
    org: OrganizationName,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPE", help=f"What the key may do: {', '.join(SCOPES)}. Repeat for several; all if none."
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="When it ends: 90d, 12h, 30m, or a date (UTC). Never if not given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it, this one time."""
    try:
        scopes = check_scopes(scope or [])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scope") from None
    expires_at = _expiry(expires)
    with opened() as current:
        stored, secret = Keys(current).create(organization(current, org).id, scopes, expires_at)
    row = {
        "key_id": stored.id,
        "api_key": secret,
        "organization_id": stored.organization_id,
        "prefix": stored.prefix,
        "scopes": _scopes(stored, as_json=as_json),
        "expires_at": stored.expires_at,
    }
    show_one(row, as_json=as_json)


def _scopes(key: ApiKey, *, as_json: bool) -> list[str] | str:
    if as_json:
        return list(key.scopes)
    return "all" if key.scopes == SCOPES else " ".join(key.scopes)


@keys.command("list", cls=PlainCommand, epilog=ENVIRONMENT)
def list_keys(as_json: AsJson = False) -> None:
    """List the keys: what is known of them, never the keys themselves."""
    with opened() as current:
        names = {found.id: found.name for found in Organizations(current).all()}
        rows = [_row(key, names[key.organization_id], as_json=as_json) for key in Keys(current).all()]
    show(rows, as_json=as_json, empty="no keys")


def _row(key: ApiKey, organization_name: str, *, as_json: bool) -> dict[str, object]:
    return {
        "key_id": key.id,
        "organization_id" if as_json else "organization": key.organization_id if as_json else organization_name,
        "prefix": key.prefix,
        "scopes": _scopes(key, as_json=as_json),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


@keys.command("revoke", cls=PlainCommand, epilog=ENVIRONMENT)
def revoke_key(key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, key_…")]) -> None:
    """Make a key worthless, within five seconds on every server."""
    with opened() as current:
        if not Keys(current).revoke(key_id):
            fail(f"there is no key {key_id!r}; `device-assignment key list` shows them")
    print(f"revoked {key_id}")
