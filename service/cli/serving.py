"""`serve`: the server, and the example that `make run` shows."""

import socket
import ssl
import sys
from pathlib import Path
from typing import Annotated

import typer

from service import app, config, log, workers
from service.cli import example
from service.cli.output import fail
from service.cli.remote import is_loopback
from service.transport.server import AddressUnavailable, Tls


def serve(
    *,
    grpc_address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to serve gRPC. Port 0 takes a free one.")
    ] = "127.0.0.1:50051",
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate chain, in PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key, in PEM.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve plaintext on an address that is not loopback.")
    ] = False,
    worker_count: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            help="How many processes serve the port together; more than the cores gain nothing. "
            "Every setting, such as the threads and the rate limit, is each worker's own.",
        ),
    ] = 1,
    with_example: Annotated[
        bool,
        typer.Option(
            "--example",
            help="First upgrade the database, fill it with a small example if it is empty, and print a call to try.",
        ),
    ] = False,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the calls in flight and exit with 0."""
    check_address(grpc_address, "--grpc-address")
    tls = checked_tls(tls_cert, tls_key)
    check_plaintext(grpc_address, "--grpc-address", allowed=insecure or tls is not None)
    if with_example and tls is not None:
        raise typer.BadParameter("the call that it prints is plaintext; leave TLS out", param_hint="--example")
    settings = config.load()
    log.configure(json={"auto": None, "json": True, "console": False}[settings.log_format])
    host = grpc_address.rpartition(":")[0]
    secret = example.prepare(settings.database_url) if with_example else None

    def started(port: int) -> None:
        if with_example:
            sys.stdout.write(example.invitation(f"{host}:{port}", secret))
            sys.stdout.flush()

    try:
        if worker_count == 1:
            app.serve(settings, grpc_address, tls, started)
        elif not workers.serve(settings, grpc_address, worker_count, tls, started):
            fail("not all workers stopped in time; the log says which")
    except AddressUnavailable as error:
        fail(why_not(grpc_address) or str(error))


def why_not(address: str) -> str | None:
    """Asks the system why it does not let anybody listen on an address, which gRPC does not tell."""
    host, _, port = address.rpartition(":")
    try:
        family, kind, *_, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        return f"cannot listen on {address}: {error.strerror}"
    return None


def check_address(address: str, option: str) -> None:
    """Refuses what is no address to listen on, as wrong usage of an option."""
    host, _, port = address.rpartition(":")
    bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not host or bare_ipv6 or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004  # the last port there is
        raise typer.BadParameter("must be HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051", param_hint=option)


def check_plaintext(address: str, option: str, *, allowed: bool) -> None:
    """Refuses to serve plaintext where others can listen in, unless that is allowed."""
    if not allowed and not is_loopback(address):
        raise typer.BadParameter(
            "plaintext beyond loopback shows API keys to the network: give --tls-cert and --tls-key, or --insecure",
            param_hint=option,
        )


def checked_tls(certificate: Path | None, key: Path | None) -> Tls | None:
    """Reads a certificate and its key, if they are given, and ends the command if they are none."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise typer.BadParameter("--tls-cert and --tls-key go together", param_hint="--tls-cert")
    read = app.read_tls(certificate, key)
    try:
        # gRPC says of a bad certificate only that it cannot listen. The password keeps OpenSSL from asking for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError:
        fail(f"{certificate} and {key} are no certificate and its key, in PEM and without a password")
    return read
