"""What calls are compared with: their SQL without the service, and calls that do nothing."""

import os
import selectors
import socket
import time
from collections import deque
from contextlib import ExitStack
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple, cast

import psycopg

from benchmarks import servers
from benchmarks.fleet import Fleet, plain
from benchmarks.load import Load
from benchmarks.record import SYNC, Reader, Recording
from benchmarks.works import FIRST, Work
from service.config import Settings
from service.storage.sqlite.connect import connect

_EMPTY_CALLS, _EMPTY_CALLS_ALONE = 4_000, 800
_WARMING = 400
_PREPARING = 8
_READY, _FAILED = b"Z\0\0\0\5", b"\0VERROR\0"


def empty(load: Load, work: Work, recording: Recording, processes: int) -> tuple[float, float]:
    """Makes empty calls with messages as long as the real ones. Returns the rate of 64 in flight, and p50 alone."""
    requests = [work.request(FIRST + place) for place in range(_EMPTY_CALLS)]
    with servers.empty(Settings().threads, work.path, recording.answer_bytes, processes) as running:
        target = (running.port, work.path, "da_none")
        top = load.calls(*target, requests, in_flight=64, warming=_WARMING)
        alone = load.calls(*target, requests[:_EMPTY_CALLS_ALONE], warming=_WARMING)
    return top.rate, alone.p50


class Bare(NamedTuple):
    """How many transactions there were a second, and the median of the seconds that one took."""

    rate: float
    p50: float


def bare(fleet: Fleet, recording: Recording) -> Bare:
    """Sends the SQL of the calls from the bare driver, in one thread. The first quarter only warms up."""
    connection: Any
    if fleet.postgresql:
        options = recording.options
        connection = psycopg.connect(plain(fleet.url), autocommit=True, prepare_threshold=1, options=options)
        cursor: Any = psycopg.RawCursor(connection)
        reader = Reader(connection)
        calls = [[(each.sql, reader.values(each)) for each in call] for call in recording.calls]
    else:
        connection = connect(fleet.url.removeprefix("sqlite:///"), 60)
        cursor = connection.cursor()
        calls = [[(each.sql, each.values) for each in call] for call in recording.calls]
    warming, moments = len(calls) // 4, []
    for number, statements in enumerate(calls):
        if number == warming:
            moments.append(time.monotonic())
        for statement in statements:
            cursor.execute(*statement)
            if cursor.description is not None:
                cursor.fetchall()
        if number >= warming:
            moments.append(time.monotonic())
    connection.close()
    return Bare(
        (len(moments) - 1) / (moments[-1] - moments[0]), median(end - start for start, end in pairwise(moments))
    )


def replay(fleet: Fleet, recording: Recording, connections: int, repeated: int) -> float:
    """Sends the messages of the calls again, on so many connections at once, each after the answer of the last.

    Args:
        fleet: a copy of the database.
        recording: the calls.
        connections: how many.
        repeated: how many times; only reads can be repeated.

    Returns:
        How many calls there were a second, after a quarter that only warms up.
    """
    # The first calls prepared the statements.
    calls = deque([[each.messages for each in call] for call in recording.calls[_PREPARING:]] * repeated)
    first, last, moments = len(calls) // 4, -connections, []
    named = {each.parsed: None for each in recording.calls[-1] if each.parsed not in each.messages}
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(connections):
            opened = stack.enter_context(psycopg.connect(plain(fleet.url), options=recording.options))
            raw = stack.enter_context(socket.socket(fileno=os.dup(opened.pgconn.socket)))
            raw.setblocking(True)
            raw.sendall(b"".join(named) + SYNC)
            selector.register(raw, selectors.EVENT_READ, deque())
        waiting = connections
        while waiting:
            for key, _ in selector.select():
                raw, batches = cast("socket.socket", key.fileobj), key.data
                data = raw.recv(1_000_000)
                if _FAILED in data:
                    raise RuntimeError(f"a statement failed: {data!r}")
                if not data[:-1].endswith(_READY):
                    continue
                if not batches:
                    moments.append(time.monotonic())
                    if not calls:
                        selector.unregister(raw)
                        waiting -= 1
                        continue
                    batches.extend(calls.popleft())
                raw.sendall(batches.popleft())
    counted = moments[connections + first : last]
    return (len(counted) - 1) / (counted[-1] - counted[0])
