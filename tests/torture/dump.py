"""Writes an organisation's rows beside its calls, for the checker."""

from datetime import UTC, datetime, timedelta
from typing import Any

from service.storage.database import Database
from tests.rows import NAMES, rows
from tests.torture.recorder import Recorder, digest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Turns a moment into microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return microseconds(value)
        case bytes() | memoryview():
            return digest(bytes(value))
    return value


def dump(database: Database, organization_id: str, recorder: Recorder) -> None:
    """Writes every row of the organisation. Moments become microseconds; bytes become their digest."""
    with database.session(write=False) as connection:
        for name in NAMES:
            for row in rows(connection, organization_id, name):
                values = {column: _plain(value) for column, value in row._mapping.items()}
                recorder.write("row", table=name, row=values)
