"""Connections to an SQLite file: how it is made, opened and put into WAL mode."""

import os
import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

_WAL_PAUSE_SECONDS = 0.005


def make_file(path: str) -> None:
    """Makes an empty file that only its owner can read, and leaves a file that exists as it is.

    SQLite makes the files beside it, such as the write-ahead log, with the same permissions.

    Raises:
        OSError: it cannot be made.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    try:
        # The umask may have removed the owner's own permissions.
        os.fchmod(file, 0o600)
    finally:
        os.close(file)


def connect(path: str, max_wait_seconds: float) -> sqlite3.Connection:
    """Opens a file, which must exist. Waits at most so long for other processes."""
    connection = sqlite3.connect(
        _uri(path),
        uri=True,
        # The backend begins transactions itself: the module begins none for reads, and one for a write too late.
        isolation_level=None,
        check_same_thread=False,
        timeout=max_wait_seconds,
    )
    connection.create_function("clock_timestamp", 0, lambda: time.time_ns() // 1000)
    # In WAL mode readers and the writer do not wait for each other. FULL syncs at every commit, so that a confirmed
    # commit survives a loss of power too.
    if not read_only(path):
        _use_wal(connection, max_wait_seconds)
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def read_only(path: str) -> bool:
    """Returns whether this user can only read a file, or can make no file beside it, as SQLite does to write."""
    exists = Path(path).exists()
    return exists and not (os.access(path, os.W_OK) and os.access(Path(path).parent, os.W_OK))


def _uri(path: str) -> str:
    """Writes any path as the URI with which SQLite opens a file without making it."""
    mode = "rw"
    if read_only(path):
        # Without the promise that nothing changes, SQLite wants to make files beside the file. With these files it may
        # be in use by others, who can write it.
        used = any(Path(f"{path}{suffix}").exists() for suffix in ("-wal", "-shm"))
        mode = "ro" if used else "ro&immutable=1"
    # Between the second and the third slash is the name of a host, which is empty.
    return f"file:{'//' if path.startswith('/') else ''}{quote(os.fsencode(path))}?mode={mode}"


def _use_wal(connection: sqlite3.Connection, max_wait_seconds: float) -> None:
    """Puts a file into WAL mode, which is permanent, or waits until another connection has done so.

    Of several connections that open a new file at once, SQLite refuses all but one, without its usual wait.
    """
    end = time.monotonic() + max_wait_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                connection.close()
                raise
            time.sleep(_WAL_PAUSE_SECONDS)
        else:
            return
