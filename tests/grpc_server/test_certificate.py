"""How a client beside a server knows the server's certificate."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from service.grpc_client import certificate, channel
from service.grpc_client.certificate import CertificateUnusable, Tls
from tests.grpc_server.certificates import issued

pytestmark = pytest.mark.process  # openssl makes the certificates


def tls(chain: Path, key: Path) -> Tls:
    """Reads a pair."""
    return Tls(certificate.read(chain), certificate.read(key))


@pytest.mark.parametrize(
    "names",
    [
        "DNS:devices.example.com",
        "DNS:*.example.com",
        "IP:192.0.2.7",
        "IP:2001:db8::7",
        "email:a@b.example,DNS:x.example",
    ],
)
def test_a_channel_trusts_the_shown_certificate_whatever_its_name(tmp_path: Path, names: str) -> None:
    _, chain, key = issued(tmp_path, names)
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())]))
    server.start()
    trust = certificate.trust(tls(chain, key))
    (tmp_path / "other").mkdir()
    _, other_chain, other_key = issued(tmp_path / "other", names)
    other = certificate.trust(tls(other_chain, other_key))
    for trusted, wanted in ((trust, True), (other, False)):
        credentials = grpc.ssl_channel_credentials(trusted.root_certificates)
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials, channel.options(trusted)) as dialled:
            assert reaches(dialled) is wanted
    server.stop(None).wait()


def reaches(dialled: grpc.Channel) -> bool:
    try:
        dialled.unary_unary("/nothing/Nothing")(b"", timeout=120)  # type: ignore[arg-type]  # without codecs it takes bytes
    except grpc.RpcError as error:
        return bool(error.code() == grpc.StatusCode.UNIMPLEMENTED)
    return False


def test_only_the_certificate_itself_is_trusted_and_not_its_authority(tmp_path: Path) -> None:
    authority, chain, key = issued(tmp_path, "DNS:localhost")
    trusted = certificate.trust(tls(chain, key)).root_certificates or b""
    assert trusted.count(b"BEGIN CERTIFICATE") == 1
    assert trusted.split() == chain.read_bytes().replace(authority.read_bytes(), b"").split()


@pytest.mark.parametrize(
    ("names", "usage", "days", "reason"),
    [
        ("email:ada@example.com", "serverAuth", 2, "is for no name"),
        ("DNS:localhost", "serverAuth", -1, "has expired"),
        ("DNS:localhost", "clientAuth", 2, "purpose"),
    ],
)
def test_one_that_no_client_could_accept_is_refused_and_why(
    tmp_path: Path, names: str, usage: str, days: int, reason: str
) -> None:
    _, chain, key = issued(tmp_path, names, usage, days)
    with pytest.raises(CertificateUnusable, match=reason):
        certificate.trust(tls(chain, key))
