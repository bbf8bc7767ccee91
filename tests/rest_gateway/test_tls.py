"""TLS on both sides of the gateway."""

import socket
import ssl
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.conftest import Tenant
from tests.grpc_server.certificates import read_tls
from tests.grpc_server.conftest import eventually
from tests.rest_gateway.conftest import Begin, Launch
from tests.rest_gateway.rest import PREFIX, Rest

ADA = "ada@example.com"
QUERY = "/customer/queryCustomer"


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Makes a self-signed certificate for a name, and its key."""
    key, made = folder / f"{name}.key", folder / f"{name}.pem"
    arguments = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}"
    subprocess.run(
        ["openssl", *arguments.split(), "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", made],
        check=True,
        capture_output=True,
    )
    return made, key


def test_https_is_served_and_plain_http_is_not(launch: Launch, server: int, tenant: Tenant, tmp_path: Path) -> None:
    tenant.assign(ADA, ["A"])
    made, key = certificate(tmp_path, "localhost")
    gateway = launch(server, "--tls-cert", str(made), "--tls-key", str(key))
    context = ssl.create_default_context(cafile=str(made))
    headers = {"x-api-key": tenant.api_key}
    answer = gateway.send("POST", PREFIX + QUERY, b'{"email": "ada@example.com"}', headers, context)
    assert answer.json["devices"] == ["A"]
    with pytest.raises(ssl.SSLCertVerificationError):
        gateway.send("GET", "/healthz", context=ssl.create_default_context())
    with pytest.raises(OSError, match=r".*"):
        gateway.send("GET", "/healthz")
    assert gateway.send("GET", "/healthz", context=context).status == 200


def test_connections_without_a_handshake_are_closed_for_new_ones(launch: Launch, server: int, tmp_path: Path) -> None:
    made, key = certificate(tmp_path, "localhost")
    gateway = launch(server, "--tls-cert", str(made), "--tls-key", str(key), rest_connections="10")
    context = ssl.create_default_context(cafile=str(made))
    with ExitStack() as held:
        kept = [held.enter_context(socket.create_connection(("127.0.0.1", gateway.port), 60)) for _ in range(30)]

        def served() -> bool:
            with suppress(OSError):
                return gateway.send("GET", "/healthz", context=context).status == 200
            return False

        eventually(served)
        # The other connections are closed later by the time-out of the handshake.
        for connection in kept:
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        assert served()


def test_a_server_over_tls_is_called_if_its_authority_is_trusted(
    begin: Begin, launch: Launch, tenant: Tenant, tmp_path: Path
) -> None:
    tenant.assign(ADA, ["A"])
    made, key = certificate(tmp_path, "localhost")
    other, _ = certificate(tmp_path, "other")
    _, port = begin(tls=read_tls(made, key))
    for trusted, status in ((made, 200), (other, 503)):
        gateway = launch(f"localhost:{port}", "--grpc-ca", str(trusted))
        assert Rest(gateway, tenant.api_key)(QUERY, email=ADA).status == status
    assert Rest(launch(port), tenant.api_key)(QUERY, email=ADA).status == 503
