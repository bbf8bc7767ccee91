"""Starts what is called: the service as in production, and a server whose one call does nothing."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server's port and process."""

    port: int
    pid: int


@contextmanager
def service(url: str) -> Iterator[Running]:
    """Serves a database with the usual settings."""
    command = [sys.executable, "-m", "service", "serve", "--grpc-address", "127.0.0.1:0"]
    with _running(command, {**os.environ, "DEVICE_ASSIGNMENT_DATABASE_URL": url}) as running:
        yield running


@contextmanager
def gateway(port: int) -> Iterator[Running]:
    """Serves REST in front of a server on this machine."""
    addresses = ["--grpc-target", f"127.0.0.1:{port}", "--rest-address", "127.0.0.1:0"]
    with _running([sys.executable, "-m", "service", "gateway", *addresses], dict(os.environ)) as running:
        yield running


def megabytes(pid: int, name: str) -> float:
    """Reads a line of what the kernel knows of a process's memory, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


@contextmanager
def empty(threads: int) -> Iterator[int]:
    """Serves the empty call on a number of threads. Gives the port."""
    with _running([sys.executable, "-m", "benchmarks.empty", str(threads)], dict(os.environ)) as running:
        yield running.port


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[Running]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("w") as output, subprocess.Popen(command, stderr=output, env=environment) as process:
            try:
                yield Running(_port(log, process), process.pid)
            finally:
                process.terminate()


def _port(log: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if '"event": "serving' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.02)
    raise RuntimeError(f"no server: {log.read_text()}")
