"""libpq's pipeline mode: several statements in one round trip."""

import select
from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult


class Query(NamedTuple):
    """A statement with its parameters.

    Attributes:
        prepared: whether `command` is the name of a prepared statement, and not its text.
        command: the name or the text.
        values: the parameters.
        formats: the format of each parameter.
    """

    prepared: bool
    command: bytes
    values: Any
    formats: list[Format]

    def run(self, libpq: PGconn) -> PGresult:
        """Runs it and returns its result. Values of results are binary: their texts depend on the session."""
        if self.prepared:
            return libpq.exec_prepared(self.command, self.values, self.formats, Format.BINARY)
        return libpq.exec_params(self.command, self.values, None, self.formats, Format.BINARY)

    def send(self, libpq: PGconn) -> None:
        """Sends it in a pipeline."""
        if self.prepared:
            libpq.send_query_prepared(self.command, self.values, self.formats, Format.BINARY)
        else:
            libpq.send_query_params(self.command, self.values, None, self.formats, Format.BINARY)


class Pipeline:
    """Sends statements over a connection and waits for their results without holding the interpreter.

    Args:
        libpq: the connection.
    """

    def __init__(self, libpq: PGconn) -> None:
        self._libpq = libpq
        self._readable, self._ready = select.poll(), select.poll()
        self._readable.register(libpq.socket, select.POLLIN)
        self._ready.register(libpq.socket, select.POLLIN | select.POLLOUT)

    def run(self, queries: Sequence[Query]) -> list[PGresult]:
        """Runs statements and returns the result of each. After one that fails, the others are not run.

        Raises:
            psycopg.OperationalError: the connection is lost.
        """
        libpq = self._libpq
        libpq.enter_pipeline_mode()
        for query in queries:
            query.send(libpq)
        libpq.pipeline_sync()
        while libpq.flush():
            self._ready.poll()
            libpq.consume_input()
        results = []
        while True:
            # libpq's own blocking wait would hold the interpreter's lock.
            while libpq.is_busy():
                self._readable.poll()
                libpq.consume_input()
            result = libpq.get_result()
            if result is None:  # the end of one statement's results
                if libpq.status != ConnStatus.OK:
                    raise psycopg.OperationalError("the connection is lost")
                continue
            if result.status == ExecStatus.PIPELINE_SYNC:
                break
            results.append(result)
        libpq.exit_pipeline_mode()
        return results
