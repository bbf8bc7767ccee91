"""TLS with a certificate of one's own."""

import subprocess
from pathlib import Path

import grpc
import pytest
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub

from service.grpc_client.certificate import Tls
from tests.conftest import Tenant
from tests.grpc_server.certificates import read_tls
from tests.grpc_server.conftest import Run, code_of

pytestmark = pytest.mark.process  # openssl makes the certificates


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    """A certificate for localhost, signed by itself."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        ["openssl", *arguments.split(), "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return read_tls(certificate, key)


def test_a_client_that_trusts_the_certificate_is_served_and_plaintext_is_not(
    run: Run, tenant: Tenant, tls: Tls
) -> None:
    tenant.assign("ada@example.com", ["A"])
    running = run(tls=tls)
    request = pb.UnassignDevicesRequest(customer_email="ada@example.com", device_identifiers=["A"])
    # The fixture's client speaks plaintext.
    plain = code_of(lambda: running.client.unassign(tenant, "ada@example.com", ["A"]))
    assert plain is grpc.StatusCode.UNAVAILABLE
    for trusted, served in ((tls.certificate, True), (None, False)):
        credentials = grpc.ssl_channel_credentials(trusted)
        with grpc.secure_channel(f"localhost:{running.port}", credentials) as channel:
            stub = DeviceAssignmentServiceStub(channel)
            if served:
                answer = stub.UnassignDevices(request, metadata=tenant.metadata)
                assert list(answer.unassigned_devices) == ["A"]
            else:
                refused = code_of(lambda s=stub: s.UnassignDevices(request, metadata=tenant.metadata))  # type: ignore[misc]  # mypy cannot type a default
                assert refused is grpc.StatusCode.UNAVAILABLE
