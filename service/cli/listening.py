"""Where a command may listen, with which certificate, and its log."""

import socket
from pathlib import Path
from typing import Annotated

import typer

from service import config
from service.cli.remote import is_loopback
from service.grpc_client import certificate, validity
from service.grpc_client.certificate import Tls
from service.grpc_client.renewal import Contents, Renewed
from service.runtime import log

TlsCert = Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate chain to serve with, in PEM.")]
TlsKey = Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key, in PEM.")]
TlsClientCa = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Ask every caller for a certificate from this authority, in PEM, beside the API key."
    ),
]


def start_log(settings: config.Settings) -> None:
    """Configures the log as the settings say, and logs variables of the environment that are no settings."""
    log.configure(json={"auto": None, "json": True, "console": False}[settings.log_format])
    log.log_thread_failures()
    for reason in config.misspelt():
        log.warning("unknown setting", reason=reason)


def check_listening(option: str, *addresses: str, plaintext: bool) -> None:
    """Refuses addresses to listen on, as wrong usage of an option.

    Args:
        option: the option that names them.
        addresses: each `host:port`.
        plaintext: whether plaintext may be served where others can listen in; with TLS it is not served.
    """
    for address in addresses:
        check_address(address, option)
        check_plaintext(address, option, allowed=plaintext)
        if not address.endswith(":0") and addresses.count(address) > 1:
            raise typer.BadParameter(f"{address} is given twice", param_hint=option)


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
            "plaintext beyond loopback shows API keys to the network: use --tls-cert and --tls-key, or --insecure",
            param_hint=option,
        )


def checked_tls(chain: Path | None, key: Path | None, client_ca: Path | None) -> Renewed[Tls] | None:
    """Reads a certificate, its key and the authority of callers' certificates, if they are given.

    Raises:
        CertificateUnusable: they cannot be used.
        OSError: a file cannot be read.
    """
    if chain is None and key is None and client_ca is None:
        return None
    if chain is None or key is None:
        if client_ca is not None and chain is None and key is None:
            raise typer.BadParameter("it needs --tls-cert and --tls-key", param_hint="--tls-client-ca")
        raise typer.BadParameter("--tls-cert and --tls-key go together", param_hint="--tls-cert")
    files = [chain, key] if client_ca is None else [chain, key, client_ca]
    return Renewed(files, _served, ends=lambda tls: validity.ends(tls.certificate))


def _served(contents: Contents) -> Tls:
    tls = Tls(*contents)
    certificate.context(tls)
    certificate.trust(tls)
    return tls


def why_not(address: str) -> str | None:
    """Asks the system why no process can listen on an address, which gRPC does not say."""
    host, _, port = address.rpartition(":")
    try:
        family, kind, *_, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        return f"cannot listen on {address}: {error.strerror}"
    return None
