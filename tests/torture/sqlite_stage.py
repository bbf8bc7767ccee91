"""An SQLite file for a run, on a small disk of its own where one may be mounted, and its faults."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.torture import full_disk
from tests.torture.faults import Fault

_DISK_MEGABYTES = 512


class SQLiteStage:
    """A database file.

    Args:
        folder: where to put it.
    """

    workers = 1
    proxy = None

    def __init__(self, folder: Path) -> None:
        self.disk = folder / "disk"
        self.disk.mkdir()
        options = ("-t", "tmpfs", "-o", f"size={_DISK_MEGABYTES}m", "tmpfs", str(self.disk))
        self.mounted = (
            sys.platform == "linux"
            and os.geteuid() == 0
            and subprocess.run(["mount", *options], check=False, capture_output=True).returncode == 0
        )
        self.file = self.disk / "torture.db"
        self.direct_url = self.service_url = f"sqlite:///{self.file}"

    def settle(self) -> None:
        """Nothing goes on when no process is left."""

    def faults(self) -> list[Fault]:
        """Returns the faults of the database."""
        return [HoldFile(self.file), FillDisk(self.disk, self.mounted)]

    def close(self) -> None:
        """Unmounts the disk."""
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.disk)], check=False)


@dataclass
class HoldFile(Fault):
    """Has another process's transaction lock the file, shorter or longer than the service waits for it."""

    file: Path
    name = "the database locked by another session"
    seconds = (1.0, 7.0)

    def begin(self) -> dict[str, object]:
        """Locks the file."""
        self._holder = sqlite3.connect(self.file, timeout=30, isolation_level=None, check_same_thread=False)
        self._holder.execute("BEGIN IMMEDIATE")
        return {}

    def end(self) -> None:
        """Lets it go."""
        self._holder.rollback()
        self._holder.close()


@dataclass
class FillDisk(Fault):
    """Fills the disk to the last byte; where none could be mounted, has SQLite take it to be full."""

    disk: Path
    mounted: bool
    name = "disk full"
    seconds = (1.0, 5.0)

    def begin(self) -> dict[str, object]:
        """Leaves no more room."""
        if not self.mounted:
            full_disk.limit(self.disk).touch()
            return {"mounted": False}
        for size in (65_536, 4_096):
            with contextlib.suppress(OSError), (self.disk / "ballast").open("ab", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(size))
        return {"mounted": True}

    def end(self) -> None:
        """Makes room."""
        for file in (self.disk / "ballast", full_disk.limit(self.disk)):
            file.unlink(missing_ok=True)
