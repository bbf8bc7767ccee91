"""Records the SQL of calls as the driver gets it from the service, so that the bare loop runs exactly the same."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from copy import copy
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import psycopg
from sqlalchemy import event

from benchmarks.copies import Prepared
from benchmarks.work import Work
from service.domain.email import Email
from service.domain.interruption import Interruption
from service.domain.options import Options
from service.domain.unassign import UnassignDevices, unassign_devices
from service.storage.database import Database


class Statement(NamedTuple):
    """One statement in the driver's own words."""

    sql: str
    parameters: Any
    many: bool


Transaction = list[Statement]


def record(prepared: Prepared, work: Work) -> list[Transaction]:
    """Runs the calls of a work on a copy and gives the statements of each.

    Ids, revisions and times are in the parameters, and fit any other copy of the same database as well.
    """
    recorded: list[Transaction] = []
    with prepared.fresh(work) as url, _recording(url, recorded) as database:
        for call in work.calls:
            recorded.append([])
            wish = UnassignDevices(Email.parse(call.customer_email), call.identifiers, Options(prepared.key_id))
            database.write(prepared.organization_id, Interruption(), partial(unassign_devices, wish=wish))
    return recorded


@contextmanager
def _recording(url: str, recorded: list[Transaction]) -> Iterator[Database]:
    """Opens a database whose cursors note what they execute.

    SQLAlchemy's events would not see what the service sends to the driver past SQLAlchemy.
    """

    def noting(base: Any) -> Any:
        class Cursor(base):  # type: ignore[misc]  # either driver's
            def execute(self, sql: str, parameters: Any = (), *rest: Any, **options: Any) -> Any:
                if recorded and not sql.startswith("PRAGMA"):
                    recorded[-1].append(Statement(sql, copy(parameters), many=False))
                return super().execute(sql, parameters, *rest, **options)

            def executemany(self, sql: str, parameters: Any, *rest: Any, **options: Any) -> Any:
                parameters = list(parameters)
                recorded[-1].append(Statement(sql, parameters, many=True))
                return super().executemany(sql, parameters, *rest, **options)

        return Cursor

    sqlite_cursor, psycopg_cursor = noting(sqlite3.Cursor), noting(psycopg.Cursor)

    class Connection(sqlite3.Connection):
        def cursor(self, *_: Any) -> Any:
            return super().cursor(sqlite_cursor)

    with (
        patch("sqlite3.connect", partial(sqlite3.connect, factory=Connection)),
        closing(Database(url, 1)) as database,
    ):

        @event.listens_for(database.engine, "connect")
        def _connected(driver: Any, _record: Any) -> None:
            if isinstance(driver, psycopg.Connection):
                driver.cursor_factory = psycopg_cursor

        yield database
