"""Certificates as an authority issues them."""

import subprocess
from pathlib import Path

from service.grpc_client.certificate import Tls


def read_tls(certificate: Path, key: Path) -> Tls:
    """Reads a certificate chain and its key, in PEM."""
    return Tls(certificate.read_bytes(), key.read_bytes())


def issued(folder: Path, names: str, usage: str = "serverAuth", days: int = 2) -> tuple[Path, Path, Path]:
    """Makes an authority, a certificate from it, and its key.

    Args:
        folder: where they go.
        names: what the certificate is for, such as `DNS:localhost`.
        usage: what for, in OpenSSL's words.
        days: how long it is good; -1 has expired.

    Returns:
        The authority's certificate, the certificate with the authority's behind it, and the key.
    """
    authority, authority_key = folder / "authority.pem", folder / "authority.key"
    request, own, certificate = folder / "leaf.csr", folder / "leaf.cnf", folder / "leaf.pem"
    chain, key = folder / "chain.pem", folder / "leaf.key"
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl("req", "-x509", *new, "-subj", "/CN=authority", "-days", "2", "-keyout", authority_key, "-out", authority)
    _openssl("req", *new, "-subj", "/CN=leaf", "-keyout", key, "-out", request)
    own.write_text(f"subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage={usage}\n")
    signed = ("-CA", authority, "-CAkey", authority_key, "-set_serial", "1", "-extfile", own, "-days", str(days))
    _openssl("x509", "-req", "-in", request, *signed, "-out", certificate)
    chain.write_bytes(certificate.read_bytes() + authority.read_bytes())
    return authority, chain, key


def bundle(folder: Path, *authorities: Path) -> Path:
    """Writes several authorities' certificates into one file."""
    path = folder / "authorities.pem"
    path.write_bytes(b"".join(authority.read_bytes() for authority in authorities))
    return path


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
