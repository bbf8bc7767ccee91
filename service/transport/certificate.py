"""A certificate with its key: what a server shows, and how a client beside it knows it."""

import ipaddress
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.errors import OperatorError
from service.transport.channel import Trust

# A handshake takes two rounds; an end that is done does nothing in another.
_ROUNDS = 4


class CertificateUnusable(OperatorError):
    """No client that checks it could accept the certificate; the text says why."""


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate chain and its private key, in PEM."""

    certificate: bytes
    key: bytes


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Reads a certificate chain and its key, in PEM, for a server.

    Raises:
        OSError: a file cannot be read.
        ssl.SSLError: the files are no certificate and its key, or the key has a password.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The password keeps OpenSSL from asking for one.
    made.load_cert_chain(certificate, key, password="")
    return made


def trust(server: ssl.SSLContext) -> Trust:
    """Tells how a client knows the very certificate that a server shows, whoever issued it and whatever its name is.

    Raises:
        CertificateUnusable: it has expired, is not for servers, or has no name.
    """
    # The standard library reads a certificate only where it is shown, and its fields only where it is trusted.
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    pem = ssl.DER_cert_to_PEM_cert(_shown(server, client).getpeercert(binary_form=True) or b"")
    client.verify_mode = ssl.CERT_REQUIRED
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=pem)
    try:
        fields: dict[str, Any] = dict(_shown(server, client).getpeercert() or {})
    except ssl.SSLCertVerificationError as error:
        raise CertificateUnusable(f"the certificate cannot be used: {error.verify_message}") from None
    alternatives: tuple[tuple[str, str], ...] = fields.get("subjectAltName", ())
    names = [name for kind, name in alternatives if kind == "DNS"]
    names += [str(ipaddress.ip_address(name.strip())) for kind, name in alternatives if kind == "IP Address"]
    if not names:
        raise CertificateUnusable("the certificate cannot be used: it is for no name (subjectAltName)")
    return Trust(pem.encode(), names[0])


def _shown(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Lets the two shake hands in memory. Gives the client's end."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_ROUNDS):
        for end in (asking, answering):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return asking
