"""Where a command may listen, and with which certificate."""

import socket
import ssl
from pathlib import Path
from typing import NamedTuple

import typer

from service.cli.output import fail
from service.cli.remote import is_loopback
from service.transport import certificate
from service.transport.certificate import Tls


class Shown(NamedTuple):
    """A certificate and its key, as gRPC takes them and as HTTP does."""

    grpc: Tls
    http: ssl.SSLContext


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


def checked_tls(chain: Path | None, key: Path | None) -> Shown | None:
    """Reads a certificate and its key, if they are given, and ends the command if they are none."""
    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise typer.BadParameter("--tls-cert and --tls-key go together", param_hint="--tls-cert")
    read = Tls(chain.read_bytes(), key.read_bytes())
    try:
        # gRPC says of a bad certificate only that it cannot listen.
        return Shown(read, certificate.context(chain, key))
    except ssl.SSLError:
        fail(f"{chain} and {key} are no certificate and its key, in PEM and without a password")


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
