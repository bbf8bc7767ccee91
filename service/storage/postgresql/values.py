"""Values of results, whatever the session is set to: they are read in their binary format, and times are in UTC."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.pq import Format

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class _Time(Loader):
    """Reads a time as UTC. psycopg's own loader uses the time zone of the session."""

    format = Format.BINARY

    def load(self, data: Buffer) -> datetime:
        """Reads the microseconds since 2000."""
        return _EPOCH + timedelta(microseconds=int.from_bytes(data, signed=True))


class _Numbers(Loader):
    """Reads a list of column numbers as SQLAlchemy expects it when it looks at tables: a text with spaces between."""

    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        """Reads an array: 20 bytes that describe it, then a length and two bytes for each number."""
        members = bytes(data)[20:]
        return " ".join(str(int.from_bytes(members[at + 4 : at + 6], signed=True)) for at in range(0, len(members), 6))


class _Character(Loader):
    """Reads a character of PostgreSQL's catalogue, where none is a NUL."""

    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        """Returns it as it would be in a text."""
        return bytes(data).rstrip(b"\0").decode()


class BinaryCursor(psycopg.Cursor[Any]):
    """A cursor whose results have the binary format."""

    def __init__(self, connection: psycopg.Connection[Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.format = Format.BINARY


ADAPTERS = AdaptersMap(psycopg.adapters)
"""How cursors read values. `libpq` has a transformer without a connection, which reads times as UTC itself."""
ADAPTERS.register_loader("timestamptz", _Time)
ADAPTERS.register_loader("int2vector", _Numbers)
ADAPTERS.register_loader('"char"', _Character)
