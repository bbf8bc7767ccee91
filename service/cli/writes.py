"""`unassign`, `assign` and `transfer`: changes of many devices."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli import bulk_run, printing
from service.cli.bulk_run import Work
from service.cli.device_list import DeviceArguments, DeviceFile, read_devices
from service.cli.outcomes import Answer, Outcome
from service.cli.output import AsJson
from service.cli.remote import remote
from service.cli.write_options import (
    ChunkSize,
    Email,
    Note,
    Outcomes,
    Preview,
    Resume,
    Yes,
    ask,
    for_the_question,
    refuse_unattended,
)
from service.domain.identifiers import MAX_IN_CALL
from service.grpc_client.client import Client
from service.runtime.terminal import visible

_CHUNK = 10_000
_MAX_ASSIGNED = 20_000

ExistingCustomer = Annotated[
    bool, typer.Option("--require-existing-customer", help="Fail instead of creating a customer who is not there yet.")
]


@remote
def unassign(
    client: Client,
    email: Email,
    identifiers: DeviceArguments = None,
    *,
    file: DeviceFile = None,
    note: Note = "",
    yes: Yes = False,
    preview: Preview = False,
    resume: Resume = None,
    outcomes: Outcomes = None,
    chunk_size: ChunkSize = _CHUNK,
    as_json: AsJson = False,
) -> None:
    """Take devices from a customer.

    Shows what would happen and asks first. What the customer does not have is skipped, with its reason. Each call of
    10,000 devices is done as a whole or not at all. A run that broke can be taken up again with --resume.
    """
    if not preview:
        refuse_unattended(yes=yes, file=file)
    work = Work(
        method="UnassignDevices",
        fields={"customer_email": email, "note": note, "remaining_view": "REMAINING_VIEW_COUNT"},
        devices=read_devices(identifiers, file, outcomes),
        chunk=_at_most(chunk_size, MAX_IN_CALL),
        doing="unassigning",
        words=("unassigned", "skipped"),
        outcomes=lambda answer: _moved("unassigned", answer) | _skipped(answer),
        totals=lambda answer: {name: answer[name] for name in ("customer_id", "remaining_count")},
    )
    run = bulk_run.begun(work, resume)
    if preview:
        bulk_run.preview(client, work, as_json=as_json, resumed=resume is not None)
        return
    if not yes:
        with for_the_question():
            bulk_run.preview(client, work, as_json=False, resumed=resume is not None)
        ask(f"Unassign these devices from {visible(email)}?")
    bulk_run.perform(client, work, run, outcomes=outcomes, as_json=as_json)


@remote
def assign(
    client: Client,
    email: Email,
    identifiers: DeviceArguments = None,
    *,
    file: DeviceFile = None,
    create_devices: Annotated[
        bool, typer.Option("--create-devices", help="Create devices that are not there yet, instead of skipping them.")
    ] = False,
    device_type: Annotated[
        str, typer.Option(metavar="TYPE", help="The type of devices that are created.", show_default=False)
    ] = "",
    require_existing_customer: ExistingCustomer = False,
    note: Note = "",
    preview: Preview = False,
    resume: Resume = None,
    outcomes: Outcomes = None,
    chunk_size: ChunkSize = _CHUNK,
    as_json: AsJson = False,
) -> None:
    """Assign devices to a customer, in addition to the owners that they have.

    A customer who is not there yet is created. Each call of 10,000 devices is done as a whole or not at all. A run
    that broke can be taken up again with --resume.
    """
    if create_devices != bool(device_type):
        raise typer.BadParameter("--create-devices and --device-type go together", param_hint="--device-type")
    work = Work(
        method="AssignDevices",
        fields={
            "customer_email": email,
            "auto_create_devices": create_devices,
            "device_type": device_type,
            "require_existing_customer": require_existing_customer,
            "note": note,
        },
        devices=read_devices(identifiers, file, outcomes),
        chunk=_at_most(chunk_size, _MAX_ASSIGNED),
        doing="assigning",
        words=("assigned", "already_assigned", "skipped"),
        outcomes=_assigned,
        totals=lambda answer: {name: answer[name] for name in ("customer_id", "device_count")},
    )
    _preview_or_perform(client, work, preview=preview, resume=resume, outcomes=outcomes, as_json=as_json)


@remote
def transfer(
    client: Client,
    from_email: Annotated[str, typer.Argument(metavar="FROM", help="The e-mail address of who has the devices.")],
    to_email: Annotated[str, typer.Argument(metavar="TO", help="The e-mail address of who gets them.")],
    identifiers: DeviceArguments = None,
    *,
    file: DeviceFile = None,
    require_all: Annotated[
        bool,
        typer.Option(
            "--require-all",
            help=f"Change nothing if a device would be skipped. In one call, so for {MAX_IN_CALL:,} devices at most.",
        ),
    ] = False,
    require_existing_customer: ExistingCustomer = False,
    note: Note = "",
    preview: Preview = False,
    resume: Resume = None,
    outcomes: Outcomes = None,
    chunk_size: ChunkSize = _CHUNK,
    as_json: AsJson = False,
) -> None:
    """Move devices from one customer to another.

    At any moment a device has the old owner or the new one. Other owners of a shared device keep it. Each call of
    10,000 devices is done as a whole or not at all. A run that broke can be taken up again with --resume.
    """
    work = Work(
        method="TransferDevices",
        fields={
            "from_customer_email": from_email,
            "to_customer_email": to_email,
            "require_existing_customer": require_existing_customer,
            "require_all": require_all,
            "note": note,
        },
        devices=read_devices(identifiers, file, outcomes),
        chunk=MAX_IN_CALL if require_all else _at_most(chunk_size, MAX_IN_CALL),
        doing="transferring",
        words=("transferred", "skipped"),
        outcomes=lambda answer: _moved("transferred", answer) | _skipped(answer),
        totals=lambda answer: {
            name: answer[name]
            for name in ("from_customer_id", "from_device_count", "to_customer_id", "to_device_count")
        },
    )
    if require_all and work.calls > 1:
        raise typer.BadParameter(
            "these are too many devices for one call, and only one can be all or nothing", param_hint="--require-all"
        )
    _preview_or_perform(client, work, preview=preview, resume=resume, outcomes=outcomes, as_json=as_json)


def _preview_or_perform(
    client: Client, work: Work, *, preview: bool, resume: str | None, outcomes: Path | None, as_json: bool
) -> None:
    run = bulk_run.begun(work, resume)
    if preview:
        bulk_run.preview(client, work, as_json=as_json, resumed=resume is not None)
    else:
        bulk_run.perform(client, work, run, outcomes=outcomes, as_json=as_json)


def _at_most(chunk_size: int, most: int) -> int:
    if chunk_size > most:
        raise typer.BadParameter(f"a call takes {most:,} devices at most", param_hint="--chunk-size")
    return chunk_size


def _moved(outcome: str, answer: Answer) -> dict[str, Outcome]:
    return dict.fromkeys(answer[f"{outcome}_devices"], (outcome, ""))


def _skipped(answer: Answer) -> dict[str, Outcome]:
    reasons = (printing.word(reason, "SKIP_REASON_") for reason in answer["skip_reasons"])
    return {device: ("skipped", reason) for device, reason in zip(answer["skipped"], reasons, strict=True)}


def _assigned(answer: Answer) -> dict[str, Outcome]:
    found: dict[str, Outcome] = dict.fromkeys(answer["skipped"], ("skipped", "unknown_device"))
    for device in answer["assigned_devices"]:
        found[device["identifier"]] = ("assigned", "device_created" if device["was_created"] else "")
    for device in answer["already_assigned"]:
        found[device["identifier"]] = ("already_assigned", "")
    return found
