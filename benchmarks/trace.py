"""Records the SQL of real calls, as the drivers get it from the service, and makes a pattern for any number of it.

It looks at the drivers' cursors, and at what the service prepares on libpq itself.
"""

import multiprocessing
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from copy import copy
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import grpc
import psycopg
from deviceassignment.v1 import device_assignment_pb2 as pb
from deviceassignment.v1.device_assignment_pb2_grpc import DeviceAssignmentServiceStub
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format

from benchmarks.fleet import Fleet
from benchmarks.servers import LARGE_MESSAGES
from benchmarks.works import Work
from service.app import Service
from service.config import Settings
from service.storage.postgresql.libpq import Session
from service.storage.postgresql.parameters import written

# No request has it.
PLACE = "\N{SECTION SIGN}"
_ANY = pb.LookupOwnersRequest(device_identifiers=["none"])
_DIGITS = 7
_DOLLAR = re.compile(r"\$(\d+)")
_BACKGROUND = {"maintenance", "health", "probe"}
# As the service's writes are planned.
_OPTIONS = "-c plan_cache_mode=force_generic_plan"
_CONTROL = ("PRAGMA", "BEGIN", "COMMIT")


class Statement(NamedTuple):
    """One statement in the driver's own words; for PostgreSQL also in the server's, with its parameters as text."""

    sql: str
    parameters: Any
    many: bool = False
    wire: str = ""
    texts: tuple[str | None, ...] = ()
    types: tuple[int, ...] = ()


class Transaction(NamedTuple):
    """What one call sends.

    `begin` opens it, unless the driver commits every statement by itself; `options` are the connection's.
    """

    statements: list[Statement]
    begin: str
    options: str = ""


class Pattern(NamedTuple):
    """The transaction of a call with a place where its number goes."""

    transaction: Transaction
    answer_bytes: int

    def of(self, number: int) -> Transaction:
        """Returns the transaction of the call of a number."""
        filled = [s._replace(parameters=_filled(s.parameters, str(number))) for s in self.transaction.statements]
        return self.transaction._replace(statements=filled)


def record(fleet: Fleet, work: Work, first: int) -> Pattern:
    """Makes calls of the numbers from `first` with the generated client, checks the answers, gives their pattern.

    It happens in a process of its own, whose drivers are tampered with.

    Raises:
        AssertionError: an answer is not exact.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        return executor.submit(_record, fleet, work.name, first).result()


def _record(fleet: Fleet, name: str, first: int) -> Pattern:
    from benchmarks.catalogue import WORKS  # noqa: PLC0415  # works hold functions, which cannot be sent to a process

    work = WORKS[name]
    seen: list[tuple[Transaction, int]] = []
    notes: list[Statement] = []
    begins: list[str] = []
    options: list[str] = []
    with Noting(notes, begins, options):
        service = Service(Settings(database_url=fleet.url, log_format="json"))
        port = service.start("127.0.0.1:0")
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=LARGE_MESSAGES) as channel:
            method = getattr(DeviceAssignmentServiceStub(channel), work.method)
            metadata = (("x-api-key", fleet.api_key),)
            # So that the key is known, and the looking it up is in nobody's transaction.
            DeviceAssignmentServiceStub(channel).LookupOwners(_ANY, metadata=metadata)
            for number in range(first, first + work.calls_traced):
                notes.clear()
                begins.clear()
                answer = method(work.request(number), metadata=metadata)
                if not work.exact(answer, number):
                    raise AssertionError(f"{work.name} of {number} was not answered exactly: {answer}")
                seen.append(
                    (
                        Transaction(list(notes), *(next(iter(found), "") for found in (begins, options))),
                        answer.ByteSize(),
                    )
                )
        service.stop()
    if len(seen) == 1:
        return Pattern(*seen[0])
    shapes = [tuple(statement.sql for statement in transaction.statements) for transaction, _ in seen]
    usual = Counter(shapes).most_common(1)[0][0]
    last, before = [index for index, shape in enumerate(shapes) if shape == usual][:-3:-1]
    return Pattern(_compared(seen[before][0], first + before, seen[last][0], first + last), seen[last][1])


class Noting:
    """Has every cursor that is opened meanwhile note what it executes."""

    def __init__(self, notes: list[Statement], begins: list[str], options: list[str]) -> None:
        def note(statement: Statement) -> None:
            # What the service does for itself in the background is no part of a call.
            if threading.current_thread().name not in _BACKGROUND and not statement.sql.startswith(_CONTROL):
                notes.append(statement)

        class Cursor(sqlite3.Cursor):
            def execute(self, sql: str, parameters: Any = (), /) -> Any:
                note(Statement(sql, copy(parameters)))
                return super().execute(sql, parameters)

            def executemany(self, sql: str, parameters: Any, /) -> Any:
                parameters = [copy(each) for each in parameters]
                note(Statement(sql, parameters, many=True))
                return super().executemany(sql, parameters)

        class Connection(sqlite3.Connection):
            def cursor(self, *_: Any) -> Any:
                return super().cursor(Cursor)

            def execute(self, sql: str, parameters: Any = (), /) -> Any:
                return self.cursor().execute(sql, parameters)

        original = psycopg.Cursor.execute

        def execute(self: Any, query: Any, params: Any = None, **how: Any) -> Any:
            options.append(self.connection.info.get_parameters().get("options", ""))
            if not self.connection.autocommit:
                level = self.connection.isolation_level
                begins.append("BEGIN" + (f" ISOLATION LEVEL {level.name.replace('_', ' ')}" if level else ""))
            converted = self._query_cls(Transformer.from_context(self))
            converted.convert(query, params)
            parameters = zip(converted.params or (), converted.types, converted.formats or (), strict=True)
            texts = tuple(_text(*parameter) for parameter in parameters)
            sql = query if isinstance(query, str) else query.as_string(self)
            note(Statement(sql, copy(params), wire=converted.query.decode(), texts=texts, types=tuple(converted.types)))
            return original(self, query, params, **how)

        self._patches: list[Any] = [
            patch("sqlite3.connect", partial(sqlite3.connect, factory=Connection)),
            patch.object(psycopg.Cursor, "execute", execute),
            patch.object(Session, "_query", _querying(note, options)),
            patch.object(Session, "begin", _beginning(begins)),
        ]

    def __enter__(self) -> None:
        for each in self._patches:
            each.start()

    def __exit__(self, *_: object) -> None:
        for each in self._patches:
            each.stop()


def _querying(note: Callable[[Statement], None], options: list[str]) -> Callable[..., Any]:
    """Notes what the service sends; for psycopg's sake with names instead of numbers."""
    query = Session._query  # noqa: SLF001  # all that is sent passes here, but what begins and ends a transaction

    def noting(self: Session, sql: str, values: Sequence[Any]) -> Any:
        options.append(_OPTIONS)
        named = {f"p{place}": copy(value) for place, value in enumerate(values, 1)}
        texts = tuple(None if value is None else (written(value) or b"").decode() for value in values)
        psycopgs = _DOLLAR.sub(r"%(p\1)s", sql.replace("%", "%%"))
        note(Statement(psycopgs, named, wire=sql, texts=texts, types=(0,) * len(values)))
        return query(self, sql, values)

    return noting


def _beginning(begins: list[str]) -> Callable[..., Any]:
    """Notes how transactions begin."""
    begin = Session.begin

    def noting(self: Session, *commands: str) -> None:
        begins.extend(commands[:1])
        begin(self, *commands)

    return noting


def _text(value: Any, oid: int, form: Format) -> str | None:
    if value is None or form == Format.TEXT:
        return None if value is None else bytes(value).decode()
    transformer = Transformer()
    loaded = transformer.get_loader(oid, Format.BINARY).load(value)
    return bytes(transformer.get_dumper(loaded, PyFormat.TEXT).dump(loaded) or b"").decode()


def _compared(one: Transaction, number: int, other: Transaction, other_number: int) -> Transaction:
    """Puts the place where the two calls have their numbers, and at the end of ids that were made up for the call."""

    def compared(mine: Any, theirs: Any) -> Any:
        if isinstance(mine, str) and isinstance(theirs, str):
            pattern = mine.replace(str(number), PLACE)
            same = pattern == theirs.replace(str(other_number), PLACE)
            return pattern if same else mine[:-_DIGITS] + PLACE
        if isinstance(mine, dict):
            return {name: compared(mine[name], theirs[name]) for name in mine}
        if isinstance(mine, list | tuple):
            return type(mine)(compared(*pair) for pair in zip(mine, theirs, strict=True))
        return mine

    statements = [
        mine._replace(parameters=compared(mine.parameters, theirs.parameters), texts=compared(mine.texts, theirs.texts))
        for mine, theirs in zip(one.statements, other.statements, strict=True)
    ]
    return one._replace(statements=statements)


def _filled(parameters: Any, number: str) -> Any:
    if isinstance(parameters, str):
        return parameters.replace(PLACE, number)
    if isinstance(parameters, dict):
        return {name: _filled(value, number) for name, value in parameters.items()}
    if isinstance(parameters, list | tuple):
        return type(parameters)(_filled(value, number) for value in parameters)
    return parameters
