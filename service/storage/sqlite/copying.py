"""Copies an SQLite file while it is used."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from service.runtime.operator_error import OperatorError
from service.storage.sqlite.connect import connect, make_file

_WAIT_SECONDS = 5.0
# Some file systems, on memory sticks and network shares for example, have no second name for a file.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}


def copy(path: str, file: Path) -> int:
    """Copies one state of a database, in one step: several would begin anew after each commit.

    Returns:
        The size of the copy in bytes.

    Raises:
        OperatorError: the copy cannot be made.
        OSError: there is a file of this name, or it cannot be written.
    """
    if not file.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file.parent))
    if file.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.part")
    make_file(str(unfinished))
    try:
        with (
            closing(connect(path, _WAIT_SECONDS)) as source,
            closing(sqlite3.connect(unfinished, isolation_level=None)) as target,
        ):
            try:
                source.backup(target)
            except sqlite3.Error as error:
                raise OperatorError(f"the copy {file} was not made: {error}") from error
        _sync(unfinished)
        _name(unfinished, file)
        _sync(file.parent)
    finally:
        unfinished.unlink(missing_ok=True)
    return file.stat().st_size


def _name(unfinished: Path, file: Path) -> None:
    """Gives a file its name. It fails where a file of this name has come into being; a rename would replace that."""
    try:
        os.link(unfinished, file)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        unfinished.replace(file)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
