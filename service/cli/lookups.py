"""`owners`, `devices` and `history`: what is, and what was."""

import csv
import itertools
import sys
from datetime import datetime
from typing import Annotated, Any

import typer

from service.cli import operation_rows, printing
from service.cli.device_list import DeviceArguments, DeviceFile, read_devices
from service.cli.output import print_json
from service.cli.remote import moment, remote, timestamp
from service.cli.run_id import chunks
from service.cli.write_options import Email
from service.grpc_client.client import Client
from service.runtime.terminal import visible

_LOOKED_UP_AT_ONCE = 1_000
_PAGE = 10_000

At = Annotated[
    datetime | None,
    typer.Option(parser=moment, metavar="TIME", help="As of then, instead of now: ISO 8601; UTC if no zone is given."),
]
JsonLines = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


@remote
def owners(
    client: Client,
    identifiers: DeviceArguments = None,
    *,
    file: DeviceFile = None,
    at: At = None,
    as_json: JsonLines = False,
) -> None:
    """Show who owns devices, now or at a moment in the past."""
    rows: list[tuple[str, str, str, str]] = []
    for chunk in chunks(read_devices(identifiers, file), _LOOKED_UP_AT_ONCE):
        answer = client.call("LookupOwners", device_identifiers=chunk, at=timestamp(at))
        for device in answer["results"]:
            print_json(device) if as_json else rows.extend(owner_rows(device))
    if not as_json:
        printing.table(("device", "owner", "since", "customer"), rows)


def owner_rows(device: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Returns the rows of a device: one for each owner, or one that says why there is none."""
    name = device["device_identifier"]
    # The address is empty for a key without the scope.
    listed = [
        (name, owner["email"] or "(needs customers:read)", owner["assigned_at"], owner["customer_id"])
        for owner in device["owners"]
    ]
    if unlisted := device["owner_count"] - len(listed):
        listed.append((name, f"(and {unlisted} more)", "", ""))
    return listed or [(name, "(no owner)" if device["found"] else "(unknown device)", "", "")]


@remote
def devices(client: Client, email: Email, *, at: At = None, as_json: JsonLines = False) -> None:
    """Print all devices of a customer, as of one moment: CSV, which --file of the other commands reads.

    The columns are device_identifier,device_id,assigned_at; the devices come ordered by identifier.
    """
    writer = csv.writer(sys.stdout, lineterminator="\n")
    pages = client.pages("ListAssignedDevices", customer_email=email, at=timestamp(at), page_size=_PAGE)
    for number, page in enumerate(pages):
        if number == 0 and not as_json:
            writer.writerow(("device_identifier", "device_id", "assigned_at"))
        for device in page["devices"]:
            if as_json:
                print_json(device)
            else:
                writer.writerow((device["device_identifier"], device["device_id"], device["assigned_at"]))


@remote
def history(
    client: Client,
    operation_id: Annotated[
        str | None, typer.Argument(metavar="OPERATION_ID", help="Show this operation alone.")
    ] = None,
    *,
    changes: Annotated[
        bool, typer.Option("--changes", help="With an OPERATION_ID: show what it changed, device by device.")
    ] = False,
    customer: Annotated[str | None, typer.Option(metavar="EMAIL", help="Only changes of this customer.")] = None,
    device: Annotated[str | None, typer.Option(metavar="IDENTIFIER", help="Only changes of this device.")] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY_ID", help="Only what this API key did.")] = None,
    since: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="TIME", help="Only from then on. As --at elsewhere.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(parser=moment, metavar="TIME", help="Only before then.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many to show at most.")] = 100,
    as_json: JsonLines = False,
) -> None:
    """Show who changed what, when and why: the newest operation first.

    Times are ISO 8601, in UTC if they name no zone. In the change of a device, + is an assignment that began and - one
    that ended.
    """
    filters = (customer, device, key, since, until)
    if operation_id is not None:
        if any(value is not None for value in filters):
            raise typer.BadParameter("show one operation, or look for some; not both", param_hint="OPERATION_ID")
        _show_one(client, operation_id, changes=changes, as_json=as_json)
        return
    if changes:
        raise typer.BadParameter("needs an OPERATION_ID", param_hint="--changes")
    pages = client.pages(
        "ListOperations",
        customer_email=customer,
        device_identifier=device,
        key_id=key,
        since=timestamp(since),
        until=timestamp(until),
        page_size=min(limit, _PAGE),
    )
    found = itertools.islice((operation for page in pages for operation in page["operations"]), limit)
    if as_json:
        for operation in found:
            print_json(operation_rows.plain(operation))
    else:
        printing.table(operation_rows.COLUMNS, map(operation_rows.row, found))


def _show_one(client: Client, operation_id: str, *, changes: bool, as_json: bool) -> None:
    operation = client.call("GetOperation", operation_id=operation_id)["operation"]
    if not as_json:
        printing.facts({name.replace("_", " "): value for name, value in operation_rows.plain(operation).items()})
    elif not changes:
        print_json(operation_rows.plain(operation))
    if not changes:
        return
    if not as_json:
        print()
    for page in client.pages("ListOperationChanges", operation_id=operation_id, page_size=_PAGE):
        for change in page["changes"]:
            kind = printing.word(change["change"], "CHANGE_")
            if as_json:
                print_json(change | {"change": kind})
            else:
                sign = "+" if kind == "assigned" else "-"
                print(f"{sign} {change['customer_id']} {visible(change['device_identifier'])}")
