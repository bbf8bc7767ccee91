"""Writes an organisation's rows beside its calls, for the checker."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, select

from service.storage.database import Database
from service.storage.tables import assignment, assignment_change, customer, customer_revision, device, operation, reply
from tests.torture.recorder import Recorder, digest

_TABLES: tuple[Table, ...] = (
    customer,
    device,
    operation,
    customer_revision,
    assignment_change,
    assignment,
    reply,
)
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
        for table in _TABLES:
            rows = connection.execute(select(table).where(table.c.organization_id == organization_id))
            for row in rows.mappings():
                values = {name: _plain(value) for name, value in row.items() if name != "organization_id"}
                recorder.write("row", table=table.name, row=values)
