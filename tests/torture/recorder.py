"""Writes what happens in a run to JSON lines, one file for each organisation, and reads such files again."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message


def now() -> int:
    """The present time on the run's one clock, which is monotonic, in nanoseconds."""
    return time.monotonic_ns()


def as_values(message: Message) -> dict[str, Any]:
    """Turns a message into JSON values, with the field names of the protos."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def digest(content: bytes) -> str:
    """Names content, so that two answers can be compared byte for byte."""
    return hashlib.sha256(content).hexdigest()[:32]


class Recorder:
    """Appends entries to a file; any thread may write.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, kind: str, **values: Any) -> None:
        """Writes one entry."""
        line = json.dumps({"kind": kind, **values}, separators=(",", ":"), ensure_ascii=False)
        with self._lock:
            self._file.write(line + "\n")

    def close(self) -> None:
        """Writes out what is buffered and closes the file."""
        with self._lock:
            self._file.close()


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """Reads the entries of a file in the order in which they were written."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
