"""`db check`: whether all is well, one line for each thing that can be wrong. It changes nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from service import config
from service.cli.listening import TlsCert, TlsClientCa, TlsKey, checked_tls
from service.cli.opened import opened
from service.cli.output import AsJson, print_json, warn
from service.cli.streams import say
from service.domain.errors import ServiceError
from service.grpc_client import validity
from service.runtime import open_files
from service.runtime.operator_error import OperatorError
from service.storage import checkup, schema
from service.storage.checkup import Demand, Finding, State

_SOON_DAYS = 14


def check(
    *,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    worker_count: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="How many workers will serve, as for `serve`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check whether all is well for a server; exit with 1 if not.

    It is a server with these settings and options. There is one line for each thing that is looked at: `ok`, or
    `warning` or `error` with what to mend. Nothing is changed.
    """
    settings = config.load()
    found = [*_certificates(tls_cert, tls_key, tls_client_ca), _open_files(settings)]
    try:
        found = [*_of_database(settings, worker_count), *found]
    except (OperatorError, ServiceError, OSError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        # What is well is left out, so that it does not hide what has to be mended first.
        found = [Finding(State.PROBLEM, reason), *(line for line in found if line.state is not State.OK)]
    _print(found, as_json=as_json)
    if any(line.state is State.PROBLEM for line in found):
        raise typer.Exit(1)


def _print(found: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print_json([{"state": line.state.value, "text": line.text} for line in found])
        return
    for line in found:
        match line.state:
            case State.OK:
                print(f"ok: {line.text}", flush=True)
            case State.WARNING:
                warn(line.text)
            case State.PROBLEM:
                say(f"error: {line.text}")


def _of_database(settings: config.Settings, worker_count: int | None) -> list[Finding]:
    # Loaded here: no other command at the database needs the server.
    from service import app, workers  # noqa: PLC0415

    with opened() as current:
        tables = f"tables are up to date (version {int(schema.check(current))})"
        schema.check_privileges(current)
        count = worker_count or workers.choose(settings).workers
        demand = Demand(
            count * app.connections_of_a_process(settings), f"set {config.PREFIX}THREADS or --workers lower"
        )
        return [Finding(State.OK, tables), *checkup.findings(current, demand)]


def _certificates(*files: TlsCert) -> Iterator[Finding]:
    try:
        tls = checked_tls(*files)
    except (OperatorError, OSError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        yield Finding(State.PROBLEM, reason)
        return
    if tls is not None:
        ends = validity.ends(tls.value.certificate)
        days = (ends - datetime.now(UTC)).days
        text = f"{files[0]} and {files[1]} fit together, and the certificate expires in {days} days ({ends:%Y-%m-%d})"
        if days < _SOON_DAYS:
            yield Finding(State.WARNING, f"{text}; renew it")
        else:
            yield Finding(State.OK, text)


def _open_files(settings: config.Settings) -> Finding:
    from service.app import descriptors  # noqa: PLC0415  # as above

    allowed, wanted = open_files.highest_limit(), settings.connections + descriptors(settings)
    if allowed < wanted:
        return Finding(
            State.WARNING,
            f"{allowed} open files are allowed, which is too few for {config.PREFIX}CONNECTIONS="
            f"{settings.connections}: raise the hard limit (ulimit -Hn, LimitNOFILE) to {wanted}",
        )
    return Finding(State.OK, f"{allowed} open files are allowed, and {wanted} are enough for all connections")
