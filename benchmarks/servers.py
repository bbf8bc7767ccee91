"""Starts what is called: the service as in production, its gateway, and a server whose calls do nothing."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub

_START_SECONDS = 120.0
_END_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server's port and process."""

    port: int
    pid: int

    def megabytes(self, what: str = "VmRSS") -> float:
        """Returns the memory that it uses now, or the most that it has used (`VmHWM`)."""
        return _megabytes(self.pid, what)

    def workers_megabytes(self) -> list[float]:
        """Returns the memory that each of its child processes uses now."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [_megabytes(int(pid), "VmRSS") for pid in children]

    def channel(self) -> grpc.Channel:
        """Makes a channel that takes answers of any size."""
        return grpc.insecure_channel(f"127.0.0.1:{self.port}", options=(("grpc.max_receive_message_length", -1),))

    def stub(self) -> DeviceAssignmentServiceStub:
        """Makes a client."""
        return DeviceAssignmentServiceStub(self.channel())


def _megabytes(pid: int, what: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


def environment(url: str, code: Path | None = None) -> dict[str, str]:
    """Makes the environment for a database, in which Python finds this version of the project, or that in a folder."""
    path = {} if code is None else {"PYTHONPATH": os.pathsep.join([str(code), str(code / "generated")])}
    return {**os.environ, **path, "DEVICE_ASSIGNMENT_DATABASE_URL": url}


@contextmanager
def service(url: str, workers: int = 1, code: Path | None = None) -> Iterator[Running]:
    """Serves a database with the usual settings.

    Args:
        url: the database.
        workers: how many processes serve; from two on, the process that is started is their supervisor.
        code: the folder of another version of this project, to serve instead of this one.
    """
    command = ["-m", "service", "serve", "--grpc-address", "127.0.0.1:0", "--workers", str(workers)]
    event = "serving" if workers == 1 else "all workers serving"
    with _running(command, environment(url, code), event, code) as running:
        yield running


@contextmanager
def empty(threads: int, path: str, size: int, processes: int = 1) -> Iterator[Running]:
    """Serves calls that do nothing and are answered with so many bytes."""
    port = 0
    with ExitStack() as stack:
        for _ in range(processes):
            command = ["-m", "benchmarks.empty", str(threads), path, str(size), str(port)]
            running = stack.enter_context(_running(command, dict(os.environ)))
            port = running.port
        yield running


@contextmanager
def gateway(port: int) -> Iterator[Running]:
    """Serves REST in front of a server on this machine."""
    addresses = ["--grpc-target", f"127.0.0.1:{port}", "--rest-address", "127.0.0.1:0"]
    with _running(["-m", "service", "gateway", *addresses], dict(os.environ)) as running:
        yield running


@contextmanager
def _running(
    command: list[str], variables: dict[str, str], event: str = "serving", folder: Path | None = None
) -> Iterator[Running]:
    with (
        tempfile.NamedTemporaryFile("r+") as log,
        subprocess.Popen([sys.executable, *command], stderr=log, env=variables, cwd=folder) as process,
    ):
        try:
            yield Running(_port(Path(log.name), process, event), process.pid)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
            process.kill()


def _port(log: Path, process: subprocess.Popen[bytes], event: str) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if f'"event": "{event}' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.02)
    raise RuntimeError(f"no server: {log.read_text()}")
