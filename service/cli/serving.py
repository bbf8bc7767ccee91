"""`serve`: the server, and the example that `make run` shows."""

import sys
from typing import Annotated

import typer

from service import app, config, workers
from service.cli import example, remote
from service.cli import metrics_address as metrics_address_option
from service.cli.listening import TlsCert, TlsClientCa, TlsKey, check_listening, checked_tls, start_log, why_not
from service.cli.metrics_address import MetricsAddress
from service.cli.output import fail
from service.cli.remote import TlsClientCert, TlsClientKey
from service.grpc_server.server import AddressUnavailable
from service.metrics import numbers
from service.runtime import signals
from service.supervision.port import PortUnavailable
from service.workers import Choice, Rest


def serve(
    *,
    grpc_addresses: Annotated[
        list[str] | None,
        typer.Option(
            "--grpc-address",
            metavar="HOST:PORT",
            show_default="127.0.0.1:50051",
            help="Where to serve gRPC. Port 0 takes a free one. May be given again: each address has a limit of "
            "connections of its own. --rest-address calls the last.",
        ),
    ] = None,
    rest_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Serve REST too, there, from a process of its own. Port 0 takes a free one. Needs Linux.",
        ),
    ] = None,
    metrics_address: MetricsAddress = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    tls_client_cert: TlsClientCert = None,
    tls_client_key: TlsClientKey = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve plaintext on an address that is not loopback.")
    ] = False,
    worker_count: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            show_default="as many as the CPUs and the database's connections allow; 1 on SQLite",
            help="How many processes serve the port together. Threads are each worker's own; the rate limit and the "
            "other limits of callers are divided among the workers.",
        ),
    ] = None,
    with_example: Annotated[
        bool,
        typer.Option(
            "--example",
            help="First upgrade the database, fill it with a small example if it is empty, and print calls to try.",
        ),
    ] = False,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the calls in flight and exit with 0."""
    signals.ignore_hangup()
    addresses = grpc_addresses or ["127.0.0.1:50051"]
    tls = checked_tls(tls_cert, tls_key, tls_client_ca)
    identity = remote.identity(tls_client_cert, tls_client_key, tls=tls is not None)
    if identity is not None and (rest_address is None or tls_client_ca is None):
        raise typer.BadParameter(
            "is what the gateway of --rest-address shows to gRPC with --tls-client-ca", param_hint="--tls-client-cert"
        )
    check_listening("--grpc-address", *addresses, plaintext=insecure or tls is not None)
    check_listening("--rest-address", *([rest_address] if rest_address else []), plaintext=insecure or tls is not None)
    if with_example and tls is not None:
        raise typer.BadParameter("the calls that it prints are plaintext; leave TLS out", param_hint="--example")
    settings = config.load()
    start_log(settings)
    organization = example.prepare(settings.database_url) if with_example else None

    def started(port: int, rest_port: int | None = None) -> None:
        if worker_count is None:
            chosen.log()
        if with_example:
            grpc = _with_port(addresses[0], port)
            rest = None if rest_address is None or rest_port is None else _with_port(rest_address, rest_port)
            sys.stdout.write(example.invitation(grpc, rest, organization))
            sys.stdout.flush()

    rest = None if rest_address is None else Rest(rest_address, identity)
    serve_metrics = metrics_address_option.prepare(metrics_address, settings)
    chosen = Choice(worker_count) if worker_count else workers.choose(settings)
    try:
        if chosen.workers == 1 and rest is None:
            if serve_metrics is not None:
                numbers.start()
            app.serve(settings, addresses, tls, started=started, serve_metrics=serve_metrics or (lambda: None))
        elif not workers.serve(
            settings, addresses, chosen.workers, tls=tls, rest=rest, started=started, serve_metrics=serve_metrics
        ):
            fail("not all processes stopped in time; the log says which")
    except (AddressUnavailable, PortUnavailable) as error:
        reason = why_not(error.address) if isinstance(error, AddressUnavailable) else None
        fail((reason or str(error)) + (example.OTHER_PORTS if with_example else ""))


def _with_port(address: str, port: int) -> str:
    return f"{address.rpartition(':')[0]}:{port}"
