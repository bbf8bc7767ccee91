"""Runs recorded SQL from the bare driver, in several processes."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from typing import Any

from benchmarks.trace import Statement, Transaction
from service.storage.database import Database

_WAIT_SECONDS = 60.0

# In a worker: what lets so many of them start at once.
_starts: dict[int, Barrier] = {}


class Workers:
    """Processes that run SQL."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor

    def seconds(self, url: str, transactions: list[Transaction], warming: int, processes: int) -> float:
        """Runs transactions, shared out among processes, and gives the seconds that those after the warming took."""
        warm, timed = transactions[:warming], transactions[warming:]
        runs = [
            self._executor.submit(_run, url, warm[index::processes], timed[index::processes], processes)
            for index in range(processes)
        ]
        moments = [run.result() for run in runs]
        return max(end for _, end in moments) - min(start for start, _ in moments)


@contextmanager
def workers(most: int) -> Iterator[Workers]:
    """Starts up to so many processes."""
    # Not forked: a fork would inherit threads' locks from the libraries here.
    spawn = multiprocessing.get_context("spawn")
    starts = {count: spawn.Barrier(count) for count in range(1, most + 1)}
    with ProcessPoolExecutor(most, spawn, _know, (starts,)) as executor:
        yield Workers(executor)


def _know(starts: dict[int, Barrier]) -> None:
    _starts.update(starts)


def _run(url: str, warm: list[Transaction], timed: list[Transaction], processes: int) -> tuple[float, float]:
    # Opened by the service, for the settings, and used without it.
    database = Database(url, 1)
    pooled = database.engine.raw_connection()
    driver: Any = pooled.driver_connection
    for transaction in warm:
        _commit(driver, transaction)
    _starts[processes].wait(_WAIT_SECONDS)
    start = time.monotonic()
    for transaction in timed:
        _commit(driver, transaction)
    end = time.monotonic()
    pooled.close()
    database.close()
    return start, end


def _commit(driver: Any, transaction: list[Statement]) -> None:
    cursor = driver.cursor()
    for sql, parameters, many in transaction:
        (cursor.executemany if many else cursor.execute)(sql, parameters)
        if cursor.description is not None:
            [row[0] for row in cursor.fetchall()]
    driver.commit()
