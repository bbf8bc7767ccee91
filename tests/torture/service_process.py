"""The service as an operator runs it: a process that is started again whenever it is gone."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.torture.proxy import Proxy

ROOT = Path(__file__).parent.parent.parent
_RESTART_SECONDS = 0.2
_STOP_SECONDS = 60.0


class ServiceProcess:
    """Runs `device-assignment serve`, keeps it running, and points a proxy at its port.

    Args:
        environment: the variables of its own, such as the database's URL.
        workers: how many worker processes serve; 1 runs without a supervisor.
        proxy: what the clients connect to.
        log: where its log goes.
    """

    def __init__(self, environment: dict[str, str], workers: int, proxy: Proxy, log: Path) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("DEVICE_ASSIGNMENT_")}
        self._environment = {**inherited, **environment, "PYTHONPATH": "generated"}
        self._workers = workers
        self._proxy = proxy
        self._log = log.open("a", encoding="utf-8", buffering=1)
        self._process: subprocess.Popen[str] | None = None
        self._pids: set[int] = set()
        self._groups: list[int] = []
        self._wanted = threading.Event()
        self._ended = threading.Event()
        self.starts = 0
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._keeper.start()

    def start(self) -> None:
        """Has it run from now on."""
        self._wanted.set()

    def stop(self) -> None:
        """Has it finish its calls and end, and not come back."""
        self._wanted.clear()
        self.end(signal.SIGTERM)

    def close(self) -> None:
        """Stops it for good."""
        self.stop()
        self._ended.set()
        self._wanted.set()
        self._keeper.join(_STOP_SECONDS)
        self._log.close()

    def end(self, number: signal.Signals, *, group: bool = False) -> None:
        """Sends a signal to the process, or to all its processes, and waits until it is gone."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def kill_all(self) -> None:
        """Ends every process that was ever started here, workers whose supervisor was killed included."""
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def workers(self) -> list[int]:
        """The process ids of the workers that live."""
        return [pid for pid in self._pids if Path(f"/proc/{pid}").exists()]

    def _keep(self) -> None:
        while True:
            self._wanted.wait()
            if self._ended.is_set():
                return
            self._run()
            time.sleep(_RESTART_SECONDS)

    def _run(self) -> None:
        command = [sys.executable, "-m", "tests.torture.launcher", "serve", "--grpc-address", "127.0.0.1:0"]
        process = self._process = subprocess.Popen(
            [*command, "--workers", str(self._workers)],
            cwd=ROOT,
            env=self._environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if not self._wanted.is_set():
            process.send_signal(signal.SIGTERM)
        self.starts += 1
        self._pids = set()
        self._groups.append(process.pid)
        mark = "serving" if self._workers == 1 else "all workers serving"
        # Workers of a supervisor that was killed finish their calls; they hold the pipe open meanwhile.
        threading.Thread(target=self._follow, args=(process, mark), name="service-log", daemon=True).start()
        process.wait()

    def _follow(self, process: "subprocess.Popen[str]", mark: str) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                with contextlib.suppress(ValueError):  # the log may be closed by then
                    self._log.write(line)
                with contextlib.suppress(ValueError):
                    self._heed(json.loads(line), mark)

    def _heed(self, event: dict[str, Any], mark: str) -> None:
        if event.get("event") == "process started":
            self._pids.add(event["pid"])
        elif event.get("event") == mark:
            self._proxy.target = event["port"]
