"""Starts what is called: the service as in production, and a server whose one call does nothing."""

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

_START_SECONDS = 120.0
# Versions that miss a signal now and then must not hold up a run.
_END_SECONDS = 60.0

LARGE_MESSAGES = (("grpc.max_receive_message_length", -1),)
"""A channel's option to take answers of any size."""


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


def _megabytes(pid: int, what: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


@contextmanager
def service(url: str, workers: int = 1, code: Path | None = None) -> Iterator[Running]:
    """Serves a database with the usual settings.

    Args:
        url: the database.
        workers: how many processes serve; from two on, the process that is started is their supervisor.
        code: the folder of another version of this project, to serve instead of this one.
    """
    command = [sys.executable, "-m", "service", "serve", "--grpc-address", "127.0.0.1:0", "--workers", str(workers)]
    event = "serving" if workers == 1 else "all workers serving"
    environment = {**environment_of(code), "DEVICE_ASSIGNMENT_DATABASE_URL": url}
    with _running(command, environment, event, code) as running:
        yield running


def environment_of(code: Path | None) -> dict[str, str]:
    """Makes the environment in which Python finds another version of this project, or this one."""
    path = {} if code is None else {"PYTHONPATH": os.pathsep.join([str(code), str(code / "generated")])}
    return {**os.environ, **path}


@contextmanager
def empty(kind: str, threads: int, sizes: dict[str, int], processes: int = 1) -> Iterator[Running]:
    """Serves empty calls on threads (`sync`) or an event loop (`aio`).

    Args:
        kind: which of the two.
        threads: how many.
        sizes: those of the answers, by path.
        processes: how many share the port; gives the last of them.
    """
    port = 0
    with ExitStack() as stack:
        for _ in range(processes):
            command = [sys.executable, "-m", "benchmarks.empty", kind, str(threads), json.dumps(sizes)]
            running = stack.enter_context(_running([*command, str(port)], dict(os.environ)))
            port = running.port
        yield running


@contextmanager
def gateway(port: int) -> Iterator[Running]:
    """Serves REST in front of a server on this machine."""
    addresses = ["--grpc-target", f"127.0.0.1:{port}", "--rest-address", "127.0.0.1:0"]
    with _running([sys.executable, "-m", "service", "gateway", *addresses], dict(os.environ)) as running:
        yield running


@contextmanager
def _running(
    command: list[str], environment: dict[str, str], event: str = "serving", folder: Path | None = None
) -> Iterator[Running]:
    with tempfile.TemporaryDirectory() as temporary:
        log = Path(temporary, "log")
        with (
            log.open("w") as output,
            subprocess.Popen(command, stderr=output, env=environment, cwd=folder) as process,
        ):
            try:
                yield Running(_port(log, process, event), process.pid)
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
