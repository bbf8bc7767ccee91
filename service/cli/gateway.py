"""`gateway`: the REST gateway as a process of its own."""

from pathlib import Path
from typing import Annotated

import typer

from service import config, log_lines, rest
from service.cli import remote
from service.cli.listening import check_address, check_plaintext, checked_tls


def gateway(
    *,
    grpc_target: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The gRPC server. Beyond loopback it is spoken to over TLS.")
    ] = "127.0.0.1:50051",
    rest_address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to serve REST. Port 0 takes a free one.")
    ] = "127.0.0.1:8080",
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate chain, in PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key, in PEM.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve plaintext on an address that is not loopback.")
    ] = False,
    grpc_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The authority that the gRPC server's certificate comes from, in PEM."),
    ] = None,
    grpc_insecure: Annotated[
        bool, typer.Option("--grpc-insecure", help="Speak plaintext to a gRPC server that is not on loopback.")
    ] = False,
) -> None:
    """Serve REST in front of a gRPC server until SIGTERM or SIGINT, then finish what is in flight and exit with 0."""
    check_address(rest_address, "--rest-address")
    tls = checked_tls(tls_cert, tls_key)
    check_plaintext(rest_address, "--rest-address", allowed=insecure or tls is not None)
    trust = remote.trust(
        grpc_target, grpc_ca, insecure=grpc_insecure, options=("--grpc-target", "--grpc-ca", "--grpc-insecure")
    )
    settings = config.load()
    log_lines.configure(json={"auto": None, "json": True, "console": False}[settings.log_format])
    log_lines.log_threads()
    rest.serve(settings, rest_address, grpc_target, trust=trust, tls=tls and tls.http)
