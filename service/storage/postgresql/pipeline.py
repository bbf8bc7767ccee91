"""libpq's pipeline mode: several prepared statements in one round trip."""

import select
from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult


class Prepared(NamedTuple):
    """A prepared statement with its parameters: the arguments of libpq's calls."""

    name: bytes
    values: Any
    formats: list[Format]


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

    def run(self, statements: Sequence[Prepared]) -> list[PGresult]:
        """Runs statements and returns the result of each. After one that fails, the others are not run.

        Raises:
            psycopg.OperationalError: the connection is lost.
        """
        libpq = self._libpq
        libpq.enter_pipeline_mode()
        for prepared in statements:
            libpq.send_query_prepared(*prepared)
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
