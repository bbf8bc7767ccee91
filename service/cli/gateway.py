"""`gateway`: the REST gateway as a process of its own."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from service import config, rest
from service.cli import metrics_address as metrics_address_option
from service.cli import remote
from service.cli.listening import TlsCert, TlsClientCa, TlsKey, check_address, check_plaintext, checked_tls, start_log
from service.cli.metrics_address import MetricsAddress
from service.cli.remote import TlsClientCert, TlsClientKey
from service.grpc_client.channel import Identity, Trust
from service.grpc_client.renewal import Renewed
from service.metrics import numbers
from service.rest_gateway.certificates import Trusted
from service.runtime import signals


def gateway(
    *,
    grpc_target: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The gRPC server. Beyond loopback it is spoken to over TLS.")
    ] = "127.0.0.1:50051",
    rest_address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to serve REST. Port 0 takes a free one.")
    ] = "127.0.0.1:8080",
    metrics_address: MetricsAddress = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve plaintext on an address that is not loopback.")
    ] = False,
    grpc_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The authority that the gRPC server's certificate comes from, in PEM."),
    ] = None,
    tls_client_cert: TlsClientCert = None,
    tls_client_key: TlsClientKey = None,
    grpc_insecure: Annotated[
        bool, typer.Option("--grpc-insecure", help="Speak plaintext to a gRPC server that is not on loopback.")
    ] = False,
) -> None:
    """Serve REST in front of a gRPC server until SIGTERM or SIGINT, then finish what is in flight and exit with 0."""
    signals.ignore_hangup()
    check_address(rest_address, "--rest-address")
    tls = checked_tls(tls_cert, tls_key, tls_client_ca)
    check_plaintext(rest_address, "--rest-address", allowed=insecure or tls is not None)
    trust = remote.trust(
        grpc_target, grpc_ca, insecure=grpc_insecure, options=("--grpc-target", "--grpc-ca", "--grpc-insecure")
    )
    identity = remote.identity(tls_client_cert, tls_client_key, tls=trust is not None)
    settings = config.load()
    start_log(settings)
    serve_metrics = metrics_address_option.prepare(metrics_address, settings)
    if serve_metrics is not None:
        numbers.start()
    rest.serve(
        settings,
        rest_address,
        grpc_target,
        trust=_trusted(trust, grpc_ca, identity),
        tls=tls,
        serve_metrics=serve_metrics or (lambda: None),
    )


def _trusted(trust: Trust | None, grpc_ca: Path | None, identity: Renewed[Identity] | None) -> Trust | Trusted | None:
    """Makes the trust of its files, so that it is renewed with them."""
    if trust is None or (grpc_ca is None and identity is None):
        return trust
    authority = None if grpc_ca is None else remote.authority(grpc_ca)

    def make() -> Trust:
        return replace(
            trust,
            root_certificates=None if authority is None else authority.value,
            identity=None if identity is None else identity.value,
        )

    return Trusted([source for source in (authority, identity) if source is not None], make)
