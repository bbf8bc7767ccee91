"""`db`, `org` and `key`: the commands that set a database up."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from service import config
from service.cli.output import AsJson, OrganizationName, fail, opened, organization, print_json, show
from service.domain.keys import ApiKey, check_scopes
from service.storage import schema
from service.storage.database import Database
from service.storage.keys import Keys
from service.storage.organizations import NameTaken, Organizations

database = typer.Typer(help="The database's tables.", no_args_is_help=True)
organizations = typer.Typer(help="Organisations, the tenants.", no_args_is_help=True)
keys = typer.Typer(help="API keys, each for one organisation.", no_args_is_help=True)

_DURATION = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@database.command("upgrade")
def upgrade() -> None:
    """Bring the tables up to date. Makes an SQLite file that is not there yet."""
    opened_database = Database(config.load().database_url)
    try:
        before, now = schema.upgrade(opened_database)
    finally:
        opened_database.close()
    print(f"at step {now} already" if before == now else f"upgraded from {before or 'nothing'} to step {now}")


@database.command("check")
def check() -> None:
    """Tell whether the database can be served; exit with 1 if not."""
    with opened() as current:
        print(f"ok, at step {schema.check(current)}")


@organizations.command("create")
def create_organization(name: str, as_json: AsJson = False) -> None:
    """Add an organisation."""
    if not name.strip() or len(name) > 255:  # noqa: PLR2004  # as long as any name
        raise typer.BadParameter("must have 1 to 255 characters", param_hint="NAME")
    with opened() as current:
        try:
            made = Organizations(current).create(name)
        except NameTaken:
            fail(f"there is an organisation {name!r} already")
    row = {"organization_id": made.id, "name": made.name}
    print_json(row) if as_json else show([row], as_json=False)


@organizations.command("list")
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
    except ValueError:
        raise typer.BadParameter(
            "must be a duration such as 90d, 12h or 30m, or a date such as 2030-01-31", param_hint="--expires"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= now:
        raise typer.BadParameter("lies in the past", param_hint="--expires")
    return moment


@keys.command("create")
def create_key(
    org: OrganizationName,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What the key may do; repeat for several. All scopes if none is named."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 90d, 12h, 30m, or a date (UTC). Never if not given.")
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
    row = {"key_id": stored.id, "api_key": secret, "organization_id": stored.organization_id}
    more = {"prefix": stored.prefix, "scopes": list(stored.scopes), "expires_at": stored.expires_at}
    if as_json:
        print_json({**row, **more})
    else:
        show([{**row, "scopes": " ".join(scopes), "expires_at": stored.expires_at}], as_json=False)


@keys.command("list")
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
        "scopes": list(key.scopes) if as_json else " ".join(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, key_…")]) -> None:
    """Make a key worthless, within five seconds on every server."""
    with opened() as current:
        if not Keys(current).revoke(key_id):
            fail(f"there is no key {key_id!r}; `device-assignment key list` shows them")
    print(f"revoked {key_id}")
