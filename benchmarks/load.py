"""The load generator: the Go program in `load/`, which needs Go (https://go.dev/dl)."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

_SOURCE = Path(__file__).parent / "load"
# So many that each of two workers gets about half of them.
_CONNECTIONS = 16


class Calls(NamedTuple):
    """What came of calls: the rate, times in seconds, and of each call when it began and how long it took."""

    rate: float
    p50: float
    p99: float
    starts: list[float]
    took: list[float]


class Load:
    """The program, built into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binary = folder / "load"
        go = shutil.which("go")
        if go is None:
            raise SystemExit("Go was not found, which builds the load generator: https://go.dev/dl")
        # Its modules come through Go's own proxy the first time.
        subprocess.run([go, "build", "-o", self._binary, "."], cwd=_SOURCE, check=True)

    def calls(
        self,
        port: int,
        path: str,
        api_key: str,
        messages: Iterable[Any],
        *,
        in_flight: int = 1,
        warming: int = 0,
        rate: float = 0,
    ) -> Calls:
        """Sends every message once, in order.

        Args:
            port: of the server.
            path: of the method.
            api_key: the key.
            messages: protobuf messages.
            in_flight: how many calls are under way at once.
            warming: how many of the calls, the first ones, do not count.
            rate: calls a second, whether earlier ones are answered or not; 0 waits for answers instead.

        Raises:
            RuntimeError: a call failed; the text has the status.
        """
        # A file of its own, because two may run at once.
        with tempfile.NamedTemporaryFile(dir=self._folder) as file:
            for message in messages:
                data = message.SerializeToString()
                file.write(b"\0" + len(data).to_bytes(4, "big") + data)
            file.flush()
            command = [self._binary, "-address", f"127.0.0.1:{port}", "-path", path, "-bodies", file.name]
            command += ["-key", api_key, "-connections", _CONNECTIONS, "-in-flight", in_flight, "-warm", warming]
            command += ["-rate", rate, "-each"]
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the load generator failed: {done.stderr[-2_000:]}")
        result = json.loads(done.stdout)
        if result["errors"]:
            raise RuntimeError(f"calls of {path} failed, by status: {result['errors']}")
        starts, took = ([moment / 1e6 for moment in result[name]] for name in ("starts", "took"))
        return Calls(result["rate"], result["p50"] / 1e6, result["p99"] / 1e6, starts, took)


@contextmanager
def load() -> Iterator[Load]:
    """Builds the generator."""
    with tempfile.TemporaryDirectory(prefix="da-load-") as folder:
        yield Load(Path(folder))
