"""What the commands against a running server share: its address, the API key, and how a failure is shown."""

import codecs
import functools
import inspect
import ipaddress
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from service.config import PREFIX
from service.grpc_client import certificate, validity
from service.grpc_client.channel import Identity, Trust
from service.grpc_client.client import Client
from service.grpc_client.connection import Connection
from service.grpc_client.failure import CallFailed
from service.grpc_client.renewal import Contents, Renewed

P = ParamSpec("P")

KEY_VARIABLE = f"{PREFIX}API_KEY"

Address = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the server is.")]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help=f"A file with the API key. Otherwise the variable {KEY_VARIABLE} has it."),
]
TlsCa = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The authority that the server's certificate comes from, in PEM. Turns TLS on."),
]
TlsClientCert = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The certificate chain to show to a server that asks for one, in PEM."),
]
TlsClientKey = Annotated[Path | None, typer.Option(metavar="FILE", help="The key of --tls-client-cert, in PEM.")]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Speak plaintext to a server that is not on loopback. It shows the key.")
]
Timeout = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.1, help="How long a call may take, its retries included.")
]

_SAME_NEWS_SECONDS = 60.0


def remote(command: Callable[Concatenate[Client, P], None]) -> Callable[..., None]:
    """Makes a command of a function that takes a client: adds the options for one, and words its failures."""

    def run(  # noqa: PLR0917  # typer calls it by names
        address: Address = "127.0.0.1:50051",
        api_key_file: ApiKeyFile = None,
        tls_ca: TlsCa = None,
        tls_client_cert: TlsClientCert = None,
        tls_client_key: TlsClientKey = None,
        insecure: Insecure = False,
        timeout: Timeout = 120.0,
        **given: Any,
    ) -> None:
        trusted = trust(address, tls_ca, insecure=insecure)
        shown = identity(tls_client_cert, tls_client_key, tls=trusted is not None)
        if trusted is not None and shown is not None:
            trusted = replace(trusted, identity=shown.value)
        api_key = _api_key(api_key_file)
        with closing(Connection(address, trusted)) as connection:
            try:
                command(Client(connection, api_key, timeout, _news()), **given)  # type: ignore[call-arg]  # typer's word
            except CallFailed as failed:
                source = api_key_file or KEY_VARIABLE
                sys.stderr.write(failure_text(failed, f"the key came from {source}"))
                raise typer.Exit(1) from None

    shared = list(inspect.signature(run, eval_str=True).parameters.values())[:-1]
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    functools.update_wrapper(run, command)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [parameter.replace(kind=keyword) for parameter in (*own, *shared)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # inspect looks for it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def is_loopback(address: str) -> bool:
    """Whether `host:port` is this very machine."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def trust(
    address: str,
    tls_ca: Path | None,
    *,
    insecure: bool,
    options: tuple[str, str, str] = ("--address", "--tls-ca", "--insecure"),
) -> Trust | None:
    """Checks where a server is and how it is to be spoken to; `options` are the names of the three."""
    address_option, tls_ca_option, insecure_option = options
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:  # noqa: PLR2004  # ports are so
        raise typer.BadParameter(
            "must be HOST:PORT, such as 127.0.0.1:50051 or devices.example.com:443", param_hint=address_option
        )
    if tls_ca is not None:
        if insecure:
            raise typer.BadParameter(
                f"{tls_ca_option} and {insecure_option} exclude each other", param_hint=insecure_option
            )
        return Trust(authority(tls_ca).value)
    return None if insecure or is_loopback(address) else Trust()


def authority(file: Path) -> Renewed[bytes]:
    """Reads an authority. Raises `OSError` or `CertificateUnusable`."""

    def make(contents: Contents) -> bytes:
        certificate.check_authorities(contents[0])
        return contents[0]

    return Renewed([file], make)


def identity(chain: Path | None, key: Path | None, *, tls: bool) -> Renewed[Identity] | None:
    """Reads the certificate to show to a server, and its key, if they are given.

    Args:
        chain: the file with the certificate.
        key: the file with its key.
        tls: whether the server is spoken to over TLS.

    Raises:
        CertificateUnusable: they cannot be used.
        OSError: a file cannot be read.
    """
    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise typer.BadParameter("--tls-client-cert and --tls-client-key go together", param_hint="--tls-client-cert")
    if not tls:
        raise typer.BadParameter("nothing is shown in plaintext; turn TLS on", param_hint="--tls-client-cert")

    def make(contents: Contents) -> Identity:
        found = Identity(*contents)
        certificate.check_identity(found)
        return found

    return Renewed([chain, key], make, ends=lambda found: validity.ends(found.certificate))


def _api_key(file: Path | None) -> str:
    text = (os.environ.get(KEY_VARIABLE, "") if file is None else _text(file.read_bytes())).strip()
    hint = KEY_VARIABLE if file is None else "--api-key-file"
    if not text:
        raise typer.BadParameter(
            f"there is no API key: set {KEY_VARIABLE}, or name a file that has one with --api-key-file",
            param_hint=hint,
        )
    if not (text.isascii() and text.isprintable()):
        raise typer.BadParameter("is no API key: a key is one line of ASCII characters", param_hint=hint)
    return text


def _text(content: bytes) -> str:
    """Decodes a file as what its first bytes say, which some editors and shells put in front of any text."""
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")


def _news() -> Callable[[CallFailed, float], None]:
    """Returns what reports retries: a failure that repeats is reported once a minute."""
    last: tuple[str, float] = ("", 0.0)

    def report(failed: CallFailed, delay: float) -> None:
        nonlocal last
        text, when = last
        if failed.text == text and time.monotonic() < when + _SAME_NEWS_SECONDS:
            return
        last = (failed.text, time.monotonic())
        sys.stderr.write(f"{failed.code}: {failed.text}; trying again in {delay:.1f} s\n")

    return report


def failure_text(failed: CallFailed, key_source: str = "") -> str:
    """Words a failure: the server's sentence with the call's id, and a line for each field that is wrong."""
    text = failed.summary  # the violations have lines of their own
    if failed.code == "UNAUTHENTICATED" and key_source:
        text += f"; {key_source}"
    call_id = failed.metadata.get("call_id")
    lines = [f"error: {text or failed.code}" + (f" (call id {call_id})" if call_id else "")]
    lines += [f"  {place}: {description}" for place, description in failed.violations]
    if omitted := failed.metadata.get("violations_omitted"):
        lines.append(f"  and {omitted} more")
    return "\n".join(lines) + "\n"


def moment(text: str) -> datetime:
    """Reads a time of the command line: ISO 8601; without a zone it is UTC."""
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "must be a time such as 2026-01-31, 2026-01-31T12:00 or 2026-01-31T12:00:00+02:00"
        ) from None


def timestamp(value: datetime | None) -> str | None:
    """Writes a time for a request."""
    return None if value is None else value.isoformat().replace("+00:00", "Z")
