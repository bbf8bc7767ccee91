"""Asks whether the database answers, and takes silence for a no."""

import threading
from typing import NamedTuple

from service.storage.database import Database


class Found(NamedTuple):
    """What the database does now.

    Attributes:
        reads: whether it answers reads.
        writes: whether it takes writes too.
    """

    reads: bool
    writes: bool


class Probe:
    """Asks over a connection of its own, which the calls' connections cannot use up.

    Args:
        url: the database, as for `Database`.
        patience_seconds: how long an answer may take.
    """

    def __init__(self, url: str, patience_seconds: float) -> None:
        self._url = url
        self._patience_seconds = patience_seconds
        self._database = Database(url, 1)

    def ask(self) -> Found:
        """Returns what the database does now. It takes no longer than the patience lasts.

        A database that hangs may keep a connection, and whoever waits at it, for as long as TCP does. So each question
        is asked by a thread of its own; a late one is left to itself, and the next is asked over a new connection.
        """
        asked = self._database
        answers: list[Found] = []

        def ask() -> None:
            reads = asked.reachable()
            answers.append(Found(reads, reads and asked.writable()))
            if asked is not self._database:
                asked.close()

        question = threading.Thread(target=ask, name="probe", daemon=True)
        question.start()
        question.join(self._patience_seconds)
        if question.is_alive():
            self._database = Database(self._url, 1)
            return Found(reads=False, writes=False)
        return answers[0] if answers else Found(reads=False, writes=False)

    def close(self) -> None:
        """Gives the connection back."""
        self._database.close()
