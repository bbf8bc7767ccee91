"""`watch`: operations as they are committed."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from service.cli import operation_rows
from service.cli.lookups import JsonLines
from service.cli.output import print_json
from service.cli.remote import remote
from service.grpc_client.client import Client
from service.runtime.terminal import visible


class _Interrupt:
    """Ctrl-C, which can be held back for a moment. A second one is not."""

    def __init__(self) -> None:
        self._holding = False
        self._came = False
        signal.signal(signal.SIGINT, self._arrive)

    def _arrive(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._holding or self._came:
            raise KeyboardInterrupt
        self._came = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lets what is inside finish first."""
        self._holding = True
        yield
        self._holding = False
        if self._came:
            raise KeyboardInterrupt


@remote
def watch(
    client: Client,
    *,
    after: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Go on behind this resume token. From the beginning if not given."),
    ] = None,
    from_now: Annotated[bool, typer.Option("--from-now", help="Begin with the next operation.")] = False,
    customer: Annotated[str | None, typer.Option(metavar="EMAIL", help="Only changes of this customer.")] = None,
    as_json: JsonLines = False,
) -> None:
    """Print operations as they are committed, one a line, until Ctrl-C.

    If the server stops or restarts, it waits and goes on where it was: nothing is missed and nothing comes twice. At
    the end it prints the resume token to go on with; with --json each line has its own. --timeout is for the first
    connection alone.
    """
    if from_now and after is not None:
        raise typer.BadParameter("use --after or --from-now, not both", param_hint="--from-now")
    token = after or ""
    interrupt = _Interrupt()
    messages = client.watch(after=after, from_now=from_now, customer_email=customer)
    try:
        for message in messages:
            operation = message.get("operation")
            # A line and its token go together, or the line would come again after a Ctrl-C between them.
            with interrupt.held():
                if operation is not None and as_json:
                    print_json(operation_rows.plain(operation) | {"resume_token": message["resume_token"]})
                elif operation is not None:
                    print("  ".join(map(visible, operation_rows.row(operation))).rstrip())
                # A pipe's reader gets each line at once, and the token moves on only when the line has been written.
                sys.stdout.flush()
                token = message["resume_token"]
    except KeyboardInterrupt:
        pass
    finally:
        if token:
            sys.stderr.write(f"go on with --after {token}\n")
