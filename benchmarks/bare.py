"""Runs recorded SQL from the bare driver, in several processes."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.synchronize import Barrier
from statistics import median
from typing import Any, NamedTuple

import psycopg

from benchmarks.trace import Transaction
from service.storage.database import Database

_WAIT_SECONDS = 60.0

# In a worker: what lets so many of them start at once.
_starts: dict[int, Barrier] = {}


class Bare(NamedTuple):
    """How many transactions there were a second, and the median of the seconds that one took."""

    rate: float
    p50: float


class Workers:
    """Processes that run SQL."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor

    def run(self, url: str, transactions: list[Transaction], warming: int, processes: int) -> Bare:
        """Runs transactions, shared out among processes; those that only warm up are not counted."""
        warm, timed = transactions[:warming], transactions[warming:]
        runs = [
            self._executor.submit(_run, url, warm[index::processes], timed[index::processes], processes)
            for index in range(processes)
        ]
        moments = [run.result() for run in runs]
        seconds = max(times[-1] for times in moments) - min(times[0] for times in moments)
        each = [end - start for times in moments for start, end in pairwise(times)]
        return Bare(len(timed) / seconds, median(each))


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


def _run(url: str, warm: list[Transaction], timed: list[Transaction], processes: int) -> list[float]:
    # Opened by the service, for the settings, and used without it.
    database = Database(url, 1)
    pooled = database.engine.raw_connection()
    driver: Any = pooled.driver_connection
    if isinstance(driver, psycopg.Connection):
        # The service prepares for itself.
        driver.prepare_threshold = 1
        begin = timed[0].begin
        driver.autocommit = not begin
        if level := begin.partition("LEVEL ")[2]:
            driver.isolation_level = psycopg.IsolationLevel[level.replace(" ", "_")]
    for transaction in warm:
        _commit(driver, transaction)
    _starts[processes].wait(_WAIT_SECONDS)
    moments = [time.monotonic()]
    for transaction in timed:
        _commit(driver, transaction)
        moments.append(time.monotonic())
    pooled.close()
    database.close()
    return moments


def _commit(driver: Any, transaction: Transaction) -> None:
    cursor = driver.cursor()
    for statement in transaction.statements:
        (cursor.executemany if statement.many else cursor.execute)(statement.sql, statement.parameters)
        if cursor.description is not None:
            cursor.fetchall()
    driver.commit()
