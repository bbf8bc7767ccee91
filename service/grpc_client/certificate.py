"""Checks certificates and keys, and makes the trust of a client that runs beside the server."""

import ipaddress
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service.grpc_client.channel import Identity, Trust
from service.runtime.operator_error import OperatorError

# A handshake takes two rounds; an end that is finished does nothing in further rounds.
_ROUNDS = 4

WORKS = "what works is an RSA key of 2048 bits or more, or an ECDSA key on P-256 or P-384"
"""The end of each error about a key that gRPC cannot use."""


class CertificateUnusable(OperatorError):
    """A certificate, a key or an authority cannot be used; the text says why."""


class KeyMismatch(CertificateUnusable):
    """The key does not belong to the first certificate of the chain."""


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate chain and its private key, in PEM.

    Attributes:
        certificate: the chain, which begins with the server's own certificate.
        key: the key of the server's certificate.
        client_ca: the authorities of client certificates; None asks clients for no certificate.
    """

    certificate: bytes
    key: bytes
    client_ca: bytes | None = None

    @property
    def identity(self) -> Identity:
        """The certificate and its key."""
        return Identity(self.certificate, self.key)


def read(path: Path) -> bytes:
    """Reads a file in PEM. Raises `OSError`."""
    # gRPC cannot read PEM after a byte order mark.
    return path.read_bytes().removeprefix(b"\xef\xbb\xbf")


def context(tls: Tls) -> ssl.SSLContext:
    """Makes the SSL context of an HTTP server.

    Raises:
        CertificateUnusable: the certificate and the key are not a pair, or one of the three cannot be read.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(made, tls.identity)
    if tls.client_ca is not None:
        made.verify_mode = ssl.CERT_REQUIRED
        _load_authorities(made, tls.client_ca)
        # A resumed session would not be checked against new authorities.
        made.options |= ssl.OP_NO_TICKET
        made.num_tickets = 0
    return made


def check_identity(identity: Identity) -> None:
    """Checks whether a client can use a certificate. Raises `CertificateUnusable`."""
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), identity)


def check_authorities(pem: bytes) -> None:
    """Checks whether authorities can be read. Raises `CertificateUnusable`."""
    _load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), pem)


def trust(tls: Tls) -> Trust:
    """Makes the trust of a client in exactly this certificate, regardless of its issuer and its names.

    Raises:
        CertificateUnusable: it has expired, is not for servers, or has no name; or as `context` says.
    """
    server = context(replace(tls, client_ca=None))
    # The standard library returns a certificate only after a handshake, and its fields only if it is trusted.
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    try:
        pem = ssl.DER_cert_to_PEM_cert(_handshake(server, client).getpeercert(binary_form=True) or b"")
        client.verify_mode = ssl.CERT_REQUIRED
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        client.load_verify_locations(cadata=pem)
        fields: dict[str, Any] = dict(_handshake(server, client).getpeercert() or {})
    except ssl.SSLCertVerificationError as error:
        raise CertificateUnusable(f"the certificate does not hold: {error.verify_message}") from None
    except ssl.SSLError:
        raise CertificateUnusable(f"no client can use the key; {WORKS}") from None
    names = _names(fields)
    if not names:
        raise CertificateUnusable("the certificate is for no name (subjectAltName)")
    return Trust(pem.encode(), names[0])


def _names(fields: dict[str, Any]) -> list[str]:
    alternatives: tuple[tuple[str, str], ...] | None = fields.get("subjectAltName")
    if alternatives is None:
        # gRPC still accepts the common name of a certificate without alternative names.
        return [value for part in fields.get("subject", ()) for kind, value in part if kind == "commonName"]
    names = [name for kind, name in alternatives if kind == "DNS"]
    return names + [str(ipaddress.ip_address(name.strip())) for kind, name in alternatives if kind == "IP Address"]


def _load(into: ssl.SSLContext, identity: Identity) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in identity.certificate:
        raise CertificateUnusable("the certificate's file has no certificate in PEM")
    if b"PRIVATE KEY-----" not in identity.key:
        raise CertificateUnusable("the key's file has no private key in PEM")
    if b"ENCRYPTED" in identity.key:
        raise CertificateUnusable("the key has a password; what works is a key without one")
    try:
        with _file(identity.certificate) as certificate, _file(identity.key) as key:
            # Without a password OpenSSL would ask for one on the terminal.
            into.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise _unusable(error) from None


def _unusable(error: ssl.SSLError) -> CertificateUnusable:
    reason: str | None = error.reason  # None for some errors
    match reason:
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH" | "NO_CERTIFICATE_ASSIGNED":
            return KeyMismatch("the key does not belong to the first certificate in the file of the certificate")
        case "EE_KEY_TOO_SMALL":
            return CertificateUnusable(f"the key is too short; {WORKS}")
        case None:
            return CertificateUnusable("the certificate or the key is broken")
    return CertificateUnusable(f"the certificate or the key cannot be read ({reason.replace('_', ' ').lower()})")


def _load_authorities(into: ssl.SSLContext, pem: bytes) -> None:
    try:
        into.load_verify_locations(cadata=pem.decode("ascii", errors="replace"))
    except (ssl.SSLError, ValueError):
        raise CertificateUnusable("the authority's file has no certificate in PEM") from None


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """Yields a path of the content, because OpenSSL reads certificates only from files. On Linux it stays in memory."""
    if sys.platform == "linux":
        number = os.memfd_create("pem")
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{number}"
    else:
        with tempfile.NamedTemporaryFile() as file:  # only its owner can read it
            file.write(content)
            file.flush()
            yield file.name


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Makes a handshake in memory. Returns the client's end."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_end = client.wrap_bio(to_client, to_server)
    server_end = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_ROUNDS):
        for end in (client_end, server_end):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return client_end
