"""Certificates that sign themselves, with a key of any kind."""

import subprocess
from pathlib import Path

RSA = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
P256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def openssl(*arguments: str | Path) -> None:
    """Runs the command."""
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def pair(folder: Path, *kind: str, names: str = "DNS:localhost", days: int = 60) -> tuple[Path, Path]:
    """Makes a certificate and its key in a folder of their own, which must not be there yet."""
    folder.mkdir(parents=True)
    certificate, key = folder / "tls.crt", folder / "tls.key"
    openssl("genpkey", *(kind or P256), "-out", key)
    of = ("-new", "-key", key, "-subj", "/CN=localhost", "-days", str(days), "-out", certificate)
    openssl("req", "-x509", *of, *(("-addext", f"subjectAltName={names}") if names else ()))
    return certificate, key


def put(made: tuple[Path, Path], at: tuple[Path, Path]) -> None:
    """Replaces a pair as an operator does: both files at once, each by a rename."""
    for source, target in zip(made, at, strict=True):
        new = target.with_name(f"{target.name}.new")
        new.write_bytes(source.read_bytes())
        new.rename(target)


def point(link: Path, folder: Path) -> None:
    """Has a link to a folder point to another, as Kubernetes does with a secret."""
    new = link.with_name("new-link")
    new.symlink_to(folder)
    new.replace(link)
