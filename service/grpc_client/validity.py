"""Reads when a certificate expires from its DER encoding; the standard library reads only those of trusted peers."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

_EXPLICIT_VERSION = 0xA0
_UTC_TIME = 0x17
_LONG_LENGTH = 0x80
_END = "-----END CERTIFICATE-----"


def ends(pem: bytes) -> datetime:
    """Returns when the first certificate of a file expires.

    Raises:
        ValueError: the file has no certificate.
    """
    text = pem.decode("ascii", errors="replace")
    der = ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE-----") : text.index(_END) + len(_END)])
    _, certificate = next(_parts(der))
    _, signed = next(_parts(certificate))
    fields = [content for tag, content in _parts(signed) if tag != _EXPLICIT_VERSION]
    # Serial number, algorithm, issuer, validity (RFC 5280, 4.1); the validity has a beginning and an end.
    _, (kind, value) = _parts(fields[3])
    form = "%y%m%d%H%M%SZ" if kind == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(value.decode("ascii"), form).replace(tzinfo=UTC)


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the tag and the content of each element of a sequence."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length >= _LONG_LENGTH:
            count = length - _LONG_LENGTH
            length = int.from_bytes(der[at : at + count])
            at += count
        yield tag, der[at : at + length]
        at += length
