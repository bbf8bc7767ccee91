"""The load generator: the Go program in `load/`, or Python where there is no Go."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from benchmarks import caller

NO_GO = (
    "Go was not found (https://go.dev/dl), so a Python client makes the calls and takes as much of the processors as"
    " the service: these numbers cannot be compared with others"
)
_SOURCE = Path(__file__).parent / "load"
# So many that each of two workers gets about half of them.
_CONNECTIONS = 16


class Calls(NamedTuple):
    """What came of calls. Times are in seconds, `cpu` the seconds of processor that a call cost the generator."""

    rate: float
    p50: float
    p99: float
    cpu: float
    starts: list[float]
    took: list[float]


@dataclass(frozen=True, slots=True)
class Target:
    """What is called."""

    port: int
    path: str
    api_key: str = ""


class Load(Protocol):
    """Makes calls."""

    name: str

    def calls(
        self,
        target: Target,
        messages: Iterable[Any],
        *,
        in_flight: int = 1,
        warming: int = 0,
        rate: float = 0,
        each: bool = False,
    ) -> Calls:
        """Sends every message once, the first ones only to warm up.

        Args:
            target: where to.
            messages: protobuf messages.
            in_flight: how many calls are under way at once.
            warming: how many of the calls do not count.
            rate: calls a second, whatever becomes of the earlier ones; 0 waits for answers instead.
            each: whether to give `starts` (since 1970) and `took` of each call.

        Raises:
            RuntimeError: a call failed; the text says with which status.
        """


class GoLoad:
    """See `Load`."""

    name = "load generator in Go"

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder

    def calls(
        self,
        target: Target,
        messages: Iterable[Any],
        *,
        in_flight: int = 1,
        warming: int = 0,
        rate: float = 0,
        each: bool = False,
    ) -> Calls:
        """See `Load.calls`."""
        # A file of its own, because two may run at once.
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            for message in messages:
                data = message.SerializeToString()
                file.write(b"\0" + len(data).to_bytes(4, "big") + data)
        command = [self._binary, "-address", f"127.0.0.1:{target.port}", "-path", target.path, "-bodies", file.name]
        command += ["-key", target.api_key, "-connections", _CONNECTIONS, "-in-flight", in_flight, "-warm", warming]
        command += ["-rate", rate, f"-each={'true' if each else 'false'}"]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the load generator failed: {done.stderr[-2_000:]}")
        Path(file.name).unlink()
        result = json.loads(done.stdout)
        if result["errors"]:
            raise RuntimeError(f"calls of {target.path} failed, by status: {result['errors']}")
        return _calls(result)


class PythonLoad:
    """See `Load`; for want of anything better."""

    name = "load generator in PYTHON"

    def calls(
        self,
        target: Target,
        messages: Iterable[Any],
        *,
        in_flight: int = 1,
        warming: int = 0,
        rate: float = 0,
        each: bool = False,
    ) -> Calls:
        """See `Load.calls`."""
        bodies = [message.SerializeToString() for message in messages]
        made = caller.Made(target.port, target.path, target.api_key, bodies, in_flight, warming, rate)
        result = caller.in_a_process(made)
        return _calls(result if each else {**result, "starts": [], "took": []})


def _calls(result: dict[str, Any]) -> Calls:
    return Calls(
        result["rate"],
        result["p50"] / 1e6,
        result["p99"] / 1e6,
        result["cpu"] / 1e6,
        [start / 1e6 for start in result.get("starts", ())],
        [took / 1e6 for took in result.get("took", ())],
    )


@contextmanager
def load() -> Iterator[Load]:
    """Builds the generator. Its modules come through Go's own proxy the first time."""
    with tempfile.TemporaryDirectory(prefix="da-load-") as name:
        go = shutil.which("go")
        if go is None:
            yield PythonLoad()
            return
        binary = Path(name, "load")
        command = [go, "build", "-o", str(binary), "."]
        built = subprocess.run(command, cwd=_SOURCE, capture_output=True, text=True, check=False)
        if built.returncode:
            raise RuntimeError(f"the load generator could not be built: {built.stderr}")
        yield GoLoad(binary, Path(name))
