"""The request line is redacted and shortened in the log of the gateway."""

import pytest

from tests.grpc_server.conftest import eventually
from tests.rest_gateway.conftest import Launch

_KEY = "da_00000000_" + "0" * 40


@pytest.mark.parametrize(
    "line",
    [f"{_KEY} /healthz", f"{_KEY}{'X' * 7000} /healthz", f"GET /{_KEY}/ada@example.com?q={_KEY}", "X" * 7000 + " /"],
)
def test_neither_the_method_nor_the_path_shows_a_key_or_an_address(launch: Launch, server: int, line: str) -> None:
    gateway = launch(server)
    assert gateway.raw(f"{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()).startswith(b"HTTP/1.1 4")
    eventually(gateway.requests)
    logged = "".join(gateway.log)
    assert not [secret for secret in ("da_0", "00000000", "ada@", "example.com") if secret in logged]
    assert max(map(len, gateway.log)) < 700
