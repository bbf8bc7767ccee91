"""An HAProxy of the test's own, in front of gRPC servers."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.arrangements.pgbouncer import free_port

_READY_SECONDS = 60.0

# HTTP/2 on both sides, so that each call, and not each connection, goes to a server that is well. The check is that of
# gRPC's health service in its simplest form: a connection. A call that no server has seen is sent to another one.
SETTINGS = """
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend grpc
  bind 127.0.0.1:{port} proto h2
  default_backend servers
backend servers
  balance roundrobin
  retry-on conn-failure empty-response
  retries 3
  option redispatch 1
  default-server proto h2 check inter 200ms fall 1 rise 1
"""


@contextmanager
def balancing(folder: Path, servers: Sequence[int]) -> Iterator[int]:
    """Starts an HAProxy before servers on ports of this machine, or skips the test. Yields its port."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("needs HAProxy: the package haproxy is not installed")
    port = free_port()
    lines = [f"  server s{number} 127.0.0.1:{server}\n" for number, server in enumerate(servers)]
    settings = folder / "haproxy.cfg"
    settings.write_text(SETTINGS.format(port=port) + "".join(lines))
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([program, "-f", str(settings)], stdout=log, stderr=log)
    try:
        until = time.monotonic() + _READY_SECONDS
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, (folder / "haproxy.log").read_text()
            assert time.monotonic() < until, "HAProxy does not start"
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()
