"""`decommission` and `undo`: one call that changes much, and is asked about first."""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from service.cli import printing
from service.cli.output import AsJson, print_json
from service.cli.remote import remote
from service.cli.write_options import Email, Note, Preview, Yes, ask, for_the_question, refuse_unattended
from service.grpc_client.client import Client
from service.grpc_client.failure import CallFailed
from service.runtime.terminal import visible

_SHOWN = 10


@remote
def decommission(
    client: Client,
    email: Email,
    *,
    expected_count: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="How many devices the customer is known to have, instead of looking now."
        ),
    ] = None,
    note: Note = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Take all devices from a customer who leaves, in one operation.

    Shows how many there are and asks first. If there are more or fewer by then, nothing is changed.
    """
    refuse_unattended(yes=yes)
    count = expected_count
    if count is None:
        count = client.call("ListAssignedDevices", customer_email=email, page_size=1)["total_count"]
    if not yes:
        ask(f"Unassign all {count:,} device(s) of {visible(email)}?")
    with _uncertain():
        answer = client.call(
            "UnassignAllDevices",
            customer_email=email,
            expected_count=count,
            note=note,
            request_id=str(uuid.uuid4()),
        )
    _tell(answer, ("unassigned_count", "customer_id", "operation_id"), as_json=as_json)


@remote
def undo(
    client: Client,
    operation_id: Annotated[str, typer.Argument(metavar="OPERATION_ID", help="The operation, as history shows it.")],
    *,
    note: Note = "",
    yes: Yes = False,
    preview: Preview = False,
    as_json: AsJson = False,
) -> None:
    """Undo the changes of one operation, as a new operation.

    Shows what would happen and asks first. A device whose owners have changed since is left as it is, and named. An
    undo can be undone.
    """
    if not preview:
        refuse_unattended(yes=yes)
    request = {"operation_id": operation_id, "note": note}
    if preview or not yes:
        seen = client.call("RevertOperation", **request, validate_only=True)
    if preview:
        _tell_undone(seen, as_json=as_json)
        return
    if not yes:
        with for_the_question():
            _tell_undone(seen, as_json=False)
        ask(f"Undo {visible(operation_id)}?")
    with _uncertain():
        answer = client.call("RevertOperation", **request, request_id=str(uuid.uuid4()))
    _tell_undone(answer, as_json=as_json)


def _tell_undone(answer: dict[str, Any], *, as_json: bool) -> None:
    left = [
        {"device_identifier": device["device_identifier"], "reason": printing.word(device["reason"], "LEFT_REASON_")}
        for device in answer["not_reverted_devices"]
    ]
    _tell(
        answer | {"not_reverted_devices": left},
        ("reverted_count", "not_reverted_count", "operation_id"),
        as_json=as_json,
    )
    if left and not as_json:
        print()
        printing.table(
            ("not reverted", "reason"),
            ((device["device_identifier"], device["reason"].replace("_", " ")) for device in left[:_SHOWN]),
        )
        if (more := answer["not_reverted_count"] - _SHOWN) > 0:
            print(f"and {more:,} more; --json names the first 1,000")


def _tell(answer: dict[str, Any], names: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json({name: value for name, value in answer.items() if name not in {"success", "message"}})
    else:
        printing.facts({name.replace("_", " "): answer[name] for name in names})


@contextmanager
def _uncertain() -> Iterator[None]:
    """Adds a sentence to an error after which the change may have been made."""
    try:
        yield
    except CallFailed as failed:
        if failed.uncertain:
            sys.stderr.write("The change may have been made: `device-assignment history` shows it.\n")
        raise
