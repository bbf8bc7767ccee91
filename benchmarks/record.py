"""Records what the service sends to its database for each call, and sends it again without the service.

PostgreSQL is asked through a proxy that reads the messages of the protocol, so that nothing has to be known of how the
service sends them. SQLite has no protocol: the service runs in this process, with a connection that notes what it runs.
"""

import socket
import sqlite3
import threading
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import Format
from sqlalchemy import make_url

from benchmarks import servers
from benchmarks.fleet import Fleet
from benchmarks.works import FIRST, Work
from service.app import Service
from service.config import Settings

SYNC = b"S\0\0\0\4"


class Statement(NamedTuple):
    """A statement as it was sent.

    Attributes:
        sender: the connection or thread.
        sql: the statement; on PostgreSQL with its values as `$1`, `$2`, …
        values: on PostgreSQL bytes, or None.
        formats: of the values, on PostgreSQL.
        parsed: the message that prepares the statement, on PostgreSQL.
        messages: those that run it, and a Sync, after which PostgreSQL answers.
    """

    sender: Hashable
    sql: str
    values: Any = ()
    formats: tuple[int, ...] = ()
    parsed: bytes = b""
    messages: bytes = b""


class Recording(NamedTuple):
    """Calls that all sent the same statements, the size of an answer, and the options of the connection."""

    calls: list[list[Statement]]
    answer_bytes: int
    options: str


def record(fleet: Fleet, work: Work, count: int, first: int = FIRST) -> Recording:
    """Makes calls of the numbers from `first`, one after the other, and checks the answers."""
    sent: list[Statement] = []
    options: list[str] = []
    seen: list[list[Statement]] = []
    with _serving(fleet, sent, options) as running, running.channel() as channel:
        method: Any = channel.unary_unary(work.path, lambda asked: asked.SerializeToString(), work.answer.FromString)
        for number in range(first, first + count):
            sent.clear()
            answer = method(work.request(number), metadata=(("x-api-key", fleet.key),))
            if not work.exact(answer, number):
                raise AssertionError(f"{work.name} of {number} was not answered exactly: {answer}")
            of_senders: dict[Hashable, list[Statement]] = defaultdict(list)
            for each in tuple(sent):
                of_senders[each.sender].append(each)
            seen += of_senders.values()
    # What the service does for itself meanwhile is no part of a call, and each call sends the same.
    shapes = [tuple(each.sql for each in statements) for statements in seen]
    usual = max(Counter(shapes).items(), key=lambda found: (found[1], len(found[0])))[0]
    calls = [statements for statements, shape in zip(seen, shapes, strict=True) if shape == usual]
    # Each connection has its own names for statements.
    sender = Counter(call[0].sender for call in calls).most_common(1)[0][0]
    calls = [call for call in calls if call[0].sender == sender]
    return Recording(calls, answer.ByteSize(), options[-1] if options else "")


class Reader:
    """Reads recorded values as psycopg's cursors take them: by the types that PostgreSQL finds for them."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._libpq = connection.pgconn
        self._transformer = Transformer(connection)
        self._types: dict[str, list[int]] = {}

    def values(self, statement: Statement) -> list[Any]:
        """Returns texts, bytes, lists of texts or None."""
        if statement.sql not in self._types:
            self._libpq.prepare(b"", statement.sql.encode())
            described = self._libpq.describe_prepared(b"")
            self._types[statement.sql] = [described.param_type(place) for place in range(described.nparams)]
        formats = (
            statement.formats if len(statement.formats) > 1 else (*statement.formats, 0)[:1] * len(statement.values)
        )
        found = zip(statement.values, self._types[statement.sql], formats, strict=True)
        return [self._value(*each) for each in found]

    def _value(self, value: bytes | None, oid: int, form: int) -> Any:
        if value is None:
            return None
        loaded = self._transformer.get_loader(oid, Format(form)).load(value)
        if isinstance(loaded, str | bytes | list):
            return loaded
        return bytes(self._transformer.get_dumper(loaded, PyFormat.TEXT).dump(loaded) or b"").decode()


@contextmanager
def _serving(fleet: Fleet, sent: list[Statement], options: list[str]) -> Iterator[servers.Running]:
    if fleet.postgresql:
        with _proxy(fleet.url, sent, options) as url, servers.service(url) as running:
            yield running
    else:
        with patch("sqlite3.connect", partial(sqlite3.connect, factory=_noting(sent))):
            service = Service(Settings(database_url=fleet.url, log_format="json"))
            yield servers.Running(service.start("127.0.0.1:0"), 0)
            service.stop()


def _noting(sent: list[Statement]) -> type[sqlite3.Connection]:
    class Connection(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            sent.append(Statement(threading.get_ident(), sql, dict(parameters)))
            return super().execute(sql, parameters)

        def commit(self) -> None:
            sent.append(Statement(threading.get_ident(), "COMMIT"))
            super().commit()

    return Connection


@contextmanager
def _proxy(url: str, sent: list[Statement], options: list[str]) -> Iterator[str]:
    """Serves a PostgreSQL at another address, and notes what is sent to it."""
    there = make_url(url)
    host, port = str(there.query.get("host") or there.host), there.port or 5432
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    client, _ = listener.accept()
                    server = socket.socket(socket.AF_UNIX if host.startswith("/") else socket.AF_INET)
                    server.connect(f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port))
                    for target, arguments in ((_ask, (client, server, sent, options)), (_answer, (client, server))):
                        threading.Thread(target=target, args=arguments, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        here = there.set(host="127.0.0.1", port=listener.getsockname()[1]).difference_update_query(["host", "port"])
        yield here.render_as_string(hide_password=False)
        listener.shutdown(socket.SHUT_RDWR)


def _answer(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError), client:
        while data := server.recv(65_536):
            client.sendall(data)


def _ask(client: socket.socket, server: socket.socket, sent: list[Statement], options: list[str]) -> None:
    with suppress(OSError), server:
        stream = client.makefile("rb")
        while True:
            length = stream.read(4)
            start = stream.read(int.from_bytes(length) - 4)
            if len(start) > 4:  # noqa: PLR2004  # not one of the requests for encryption, which are four bytes
                break
            client.sendall(b"N")
        words = start[4:].decode().split("\0")
        options.append(dict(zip(words[::2], words[1::2], strict=False)).get("options", ""))
        server.sendall(length + start)
        prepared: dict[bytes, tuple[str, bytes]] = {}
        begun = Statement(client, "")
        while kind := stream.read(1):
            length = stream.read(4)
            body = stream.read(int.from_bytes(length) - 4)
            message = kind + length + body
            if kind == b"P":
                name, text, _ = body.split(b"\0", 2)
                prepared[name] = (text.decode(), message)
            elif kind == b"B":
                _, name, rest = body.split(b"\0", 2)
                sql, parsed = prepared[name]
                # A statement without a name is prepared each time.
                begun = Statement(client, sql, *_values(rest), parsed, message if name else parsed + message)
            elif kind == b"D":
                begun = begun._replace(messages=begun.messages + message)
            elif kind == b"E":
                # The service sends several statements before a Sync; as pgbench does, a replay waits for each.
                sent.append(begun._replace(messages=begun.messages + message + SYNC))
            # Last, so that all is noted when the answer arrives.
            server.sendall(message)


def _values(data: bytes) -> tuple[list[bytes | None], tuple[int, ...]]:
    """Reads the values of a Bind message, and their formats."""
    at = 2 + 2 * int.from_bytes(data[:2])
    formats = tuple(int.from_bytes(data[place : place + 2]) for place in range(2, at, 2))
    values: list[bytes | None] = []
    count, at = int.from_bytes(data[at : at + 2]), at + 2
    for _ in range(count):
        size = int.from_bytes(data[at : at + 4], signed=True)
        at += 4
        values.append(None if size < 0 else data[at : at + size])
        at += max(size, 0)
    return values, formats
