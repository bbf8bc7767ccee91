"""A clock that can be set while the processes that read it run.

PostgreSQL reads a file's offset through libfaketime. Python's sleeping does not survive that library, so the service
itself, whose clock is the database's under SQLite, has the offset put in by the launcher.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path

from service.storage.sqlite import connect as sqlite

VARIABLE = "TORTURE_CLOCK"
"""Names the file that holds the offset."""

_LIBRARIES = (
    "usr/lib/*/faketime/libfaketimeMT.so.1",
    "usr/lib/faketime/libfaketimeMT.so.1",
    "usr/lib64/faketime/libfaketimeMT.so.1",
    "usr/local/lib/faketime/libfaketimeMT.so.1",
)

MISSING = "libfaketime is not installed; on Debian: apt-get install libfaketime"


class Clock:
    """The wall clock of some processes. Their monotonic clock stays as it is."""

    def __init__(self) -> None:
        # In a folder of its own, which PostgreSQL's user may read.
        self._folder = Path(tempfile.mkdtemp(prefix="da-torture-clock-"))
        self._folder.chmod(0o755)
        self.file = self._folder / "offset"
        found = [path for pattern in _LIBRARIES for path in sorted(Path("/").glob(pattern))]
        self._library = found[0] if found else None
        self.set_back(0)
        self.file.chmod(0o644)

    @property
    def installed(self) -> bool:
        """Whether the library is there."""
        return self._library is not None

    @property
    def preloaded(self) -> dict[str, str]:
        """The variables of a process that reads this clock through the library."""
        if self._library is None:
            return {}
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }

    def set_back(self, seconds: int) -> None:
        """Sets the clock to so many seconds before the true time. It takes effect within about a second."""
        self.file.write_text(f"-{seconds}\n" if seconds else "+0\n")

    def close(self) -> None:
        """Removes the file."""
        shutil.rmtree(self._folder, ignore_errors=True)


class _Shifted:
    """Python's module `time`, with another `time_ns`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)

    def time_ns(self) -> int:
        """The true time and the offset in the file."""
        return time.time_ns() + int(self._file.read_text() or "0") * 1_000_000_000


def use_in_sqlite() -> None:
    """Has SQLite's clock read the file that the environment names, if it names one."""
    if name := os.environ.get(VARIABLE):
        replaced: object = _Shifted(Path(name))
        sqlite.__dict__["time"] = replaced
