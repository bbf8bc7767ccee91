"""What is tried before a certificate is served: that gRPC's own client can connect to it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from service.grpc_client import certificate, channel
from service.grpc_client.certificate import CertificateUnusable, Tls
from service.grpc_client.channel import Trust
from service.grpc_server import served
from service.grpc_server.served import Served
from tests.grpc_server.certificates import issued
from tests.grpc_server.pairs import P256, RSA, openssl, pair
from tests.grpc_server.test_certificate import reaches

pytestmark = pytest.mark.process

_WORKS = "what works is an RSA key of 2048 bits or more, or an ECDSA key on P-256 or P-384"


def rsa(bits: int) -> tuple[str, ...]:
    return ("-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}")


def curve(name: str) -> tuple[str, ...]:
    return ("-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{name}")


def read(certificate_file: Path, key: Path) -> Tls:
    return Tls(certificate.read(certificate_file), certificate.read(key))


@pytest.mark.parametrize("kind", [RSA, rsa(3072), rsa(4096), P256, curve("P-384")], ids=" ".join)
def test_a_kind_of_key_that_works_is_served(tmp_path: Path, kind: tuple[str, ...]) -> None:
    tls = read(*pair(tmp_path / "pair", *kind))
    served.check(tls)
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", Served(tls).credentials)
    server.start()
    trust = Trust(tls.certificate)
    with grpc.secure_channel(f"localhost:{port}", channel.credentials(trust), channel.options(trust)) as dialled:
        assert reaches(dialled)
    server.stop(None).wait()


@pytest.mark.parametrize(
    "kind",
    [
        ("-algorithm", "ED25519"),
        ("-algorithm", "ED448"),
        ("-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"),
        rsa(512),
        rsa(1024),
        curve("P-521"),
        curve("secp256k1"),
        curve("brainpoolP256r1"),
        (*P256, "-pkeyopt", "ec_param_enc:explicit"),
    ],
    ids=" ".join,
)
def test_a_kind_that_no_client_can_connect_to_is_refused_with_what_works(tmp_path: Path, kind: tuple[str, ...]) -> None:
    with pytest.raises(CertificateUnusable) as caught:
        served.check(read(*pair(tmp_path / "pair", *kind)))
    assert str(caught.value).endswith(_WORKS)


_Broken = Callable[[Path, Path], None]


def _other_key(_certificate: Path, key: Path) -> None:
    openssl("genpkey", *P256, "-out", key)


def _other_kind_of_key(_certificate: Path, key: Path) -> None:
    openssl("genpkey", "-algorithm", "ED25519", "-out", key)


def _rewritten(file: Path, *arguments: str) -> None:
    before = file.with_suffix(".before")
    file.rename(before)
    openssl(*arguments, "-in", before, "-out", file)


def _encrypted(_certificate: Path, key: Path) -> None:
    _rewritten(key, "pkey", "-aes256", "-passout", "pass:secret")


def _der(certificate_file: Path, _key: Path) -> None:
    _rewritten(certificate_file, "x509", "-outform", "DER")


def _der_key(_certificate: Path, key: Path) -> None:
    _rewritten(key, "pkey", "-outform", "DER")


def _swapped(certificate_file: Path, key: Path) -> None:
    first, second = certificate_file.read_bytes(), key.read_bytes()
    certificate_file.write_bytes(second)
    key.write_bytes(first)


def _cut(certificate_file: Path, _key: Path) -> None:
    certificate_file.write_bytes(certificate_file.read_bytes()[:300])


def _utf16(certificate_file: Path, _key: Path) -> None:
    certificate_file.write_text(certificate_file.read_text(), encoding="utf-16")


def _empty(certificate_file: Path, _key: Path) -> None:
    certificate_file.write_bytes(b"")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (_other_key, "the key does not belong to the first certificate"),
        (_other_kind_of_key, "the key does not belong to the first certificate"),
        (_encrypted, "the key has a password; what works is a key without one"),
        (_der, "the certificate's file has no certificate in PEM"),
        (_der_key, "the key's file has no private key in PEM"),
        (_swapped, "the certificate's file has no certificate in PEM"),
        (_cut, "the certificate or the key"),
        (_utf16, "the certificate's file has no certificate in PEM"),
        (_empty, "the certificate's file has no certificate in PEM"),
    ],
)
def test_files_that_are_no_certificate_and_its_key_are_told_apart(tmp_path: Path, broken: _Broken, reason: str) -> None:
    files = pair(tmp_path / "pair")
    broken(*files)
    with pytest.raises(CertificateUnusable, match=reason):
        served.check(read(*files))


def _bom(certificate_file: Path, key: Path) -> None:
    for file in (certificate_file, key):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


def _windows(certificate_file: Path, _key: Path) -> None:
    certificate_file.write_bytes(certificate_file.read_bytes().replace(b"\n", b"\r\n"))


def _with_text(certificate_file: Path, _key: Path) -> None:
    _rewritten(certificate_file, "x509", "-text")


def _traditional(_certificate: Path, key: Path) -> None:
    _rewritten(key, "pkey", "-traditional")


def _one_file(certificate_file: Path, key: Path) -> None:
    both = certificate_file.read_bytes() + key.read_bytes()
    certificate_file.write_bytes(both)
    key.write_bytes(both)


@pytest.mark.parametrize("form", [_bom, _windows, _with_text, _traditional, _one_file])
def test_the_forms_that_tools_write_are_taken(tmp_path: Path, form: _Broken) -> None:
    files = pair(tmp_path / "pair")
    form(*files)
    served.check(read(*files))


@pytest.mark.parametrize("names", ["", "DNS:*.example.com", "IP:192.0.2.7", "DNS:a.example,IP:2001:db8::7"])
def test_the_trial_does_not_depend_on_the_name_nor_on_the_authority(tmp_path: Path, names: str) -> None:
    served.check(read(*pair(tmp_path / "pair", names=names)))


@pytest.mark.parametrize(("usage", "days", "reason"), [("serverAuth", -1, "has expired"), ("clientAuth", 2, "purpose")])
def test_one_that_does_not_hold_is_refused(tmp_path: Path, usage: str, days: int, reason: str) -> None:
    _, chain, key = issued(tmp_path, "DNS:localhost", usage, days)
    with pytest.raises(CertificateUnusable, match=reason):
        served.check(read(chain, key))


def test_the_trial_goes_through_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    served.check(read(*pair(tmp_path / "pair")))


def test_a_client_certificate_that_is_asked_for_is_tried_too(tmp_path: Path) -> None:
    for name in ("server", "client", "other"):
        (tmp_path / name).mkdir()
    _, chain, key = issued(tmp_path / "server", "DNS:localhost")
    authority, *shown = issued(tmp_path / "client", "DNS:gateway", "clientAuth")
    _, *wrong = issued(tmp_path / "other", "DNS:gateway", "clientAuth")
    tls = Tls(chain.read_bytes(), key.read_bytes(), authority.read_bytes())
    served.check(tls)
    served.check(tls, read(*shown).identity)
    with pytest.raises(CertificateUnusable, match="does not come from the authority"):
        served.check(tls, read(*wrong).identity)
