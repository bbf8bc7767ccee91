"""Asks whether the database answers in time."""

import threading
from typing import NamedTuple

from service.storage.database import Database


class Found(NamedTuple):
    """Whether the database can be used now.

    Attributes:
        reads: whether it answers reads.
        writes: whether it takes writes.
        cause: why it does not answer.
    """

    reads: bool
    writes: bool
    cause: str = ""


class Probe:
    """Asks over a connection that calls do not use.

    Args:
        url: the URL of the database.
        patience_seconds: how long an answer may take.
    """

    def __init__(self, url: str, patience_seconds: float) -> None:
        self._url = url
        self._patience_seconds = patience_seconds
        self._database = Database(url, 1)

    def ask(self) -> Found:
        """Returns whether the database can be used now, after `patience_seconds` at the latest.

        A database that hangs can block a connection and its thread for as long as TCP does. So each question has a
        thread of its own; a late thread is abandoned, and the next question uses a new connection.
        """
        asked = self._database
        answers: list[Found] = []

        def ask() -> None:
            cause = asked.why_unreachable()
            found = Found(not cause, not cause and asked.writable(), cause)
            answers.append(found)
            if not found.writes:
                # After a fail-over a new connection may lead to another server.
                asked.renew()
            if asked is not self._database:
                asked.close()

        question = threading.Thread(target=ask, name="probe", daemon=True)
        question.start()
        question.join(self._patience_seconds)
        if question.is_alive():
            self._database = Database(self._url, 1)
            late = f"no answer within {self._patience_seconds:g} seconds"
            return Found(reads=False, writes=False, cause=late)
        return answers[0] if answers else Found(reads=False, writes=False, cause="the question failed")

    def close(self) -> None:
        """Closes the connection."""
        self._database.close()
