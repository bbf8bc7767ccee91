"""Copies an SQLite file while it is used."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from service.storage.sqlite.connect import connect, make_file

_WAIT_SECONDS = 5.0


def copy(path: str, file: Path) -> int:
    """Copies one state of a database, in one step: several would begin anew after each commit.

    Returns:
        The size of the copy in bytes.

    Raises:
        FileExistsError: there is a file of this name.
        OSError, sqlite3.Error: it cannot be written.
    """
    if file.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.part")
    make_file(str(unfinished))
    try:
        with (
            closing(connect(path, _WAIT_SECONDS)) as source,
            closing(sqlite3.connect(unfinished, isolation_level=None)) as target,
        ):
            source.backup(target)
        _sync(unfinished)
        os.link(unfinished, file)  # fails where a file of this name has come into being; a rename would replace it
        _sync(file.parent)
    finally:
        unfinished.unlink(missing_ok=True)
    return file.stat().st_size


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
