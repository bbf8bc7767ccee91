"""The gateway as a child process of a server, whose certificate alone it trusts."""

import multiprocessing
import socket
from http.client import HTTPConnection
from pathlib import Path

import pytest

from service import rest
from service.config import Settings
from service.grpc_client.channel import Trust
from tests.grpc_server.certificates import read_tls
from tests.grpc_server.conftest import eventually
from tests.rest_gateway.conftest import Begin
from tests.rest_gateway.test_tls import certificate

pytestmark = pytest.mark.process


def test_a_child_serves_in_front_of_a_server_with_any_name_in_its_certificate(begin: Begin, tmp_path: Path) -> None:
    made, key = certificate(tmp_path, "devices.example.com")
    _, port = begin(tls=read_tls(made, key))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    trust = Trust(made.read_bytes(), "devices.example.com")
    child = multiprocessing.get_context("spawn").Process(
        target=rest.serve, args=(Settings(), address, f"127.0.0.1:{port}"), kwargs={"trust": trust}
    )
    child.start()
    try:

        def ready() -> bool:
            connection = HTTPConnection(address)
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
            except ConnectionError:
                return False
            finally:
                connection.close()

        eventually(ready)
    finally:
        child.terminate()
        child.join(120)
    assert child.exitcode == 0
