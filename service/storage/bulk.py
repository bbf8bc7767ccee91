"""Whole files in and out: the import of assignments and their export."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, and_, func, insert, select, text

from service.domain.cancellation import Cancellation
from service.domain.errors import OutcomeUnknown, ServiceError
from service.domain.ids import new_id
from service.domain.import_lines import BadLine, Line
from service.domain.values import Operation
from service.storage import statistics
from service.storage.database import Database
from service.storage.tables import assignment, customer, device
from service.storage.transaction import Retry, Transaction
from service.storage.types import Ordered

# Where the lines stand while they are applied: gone with the transaction.
_line = Table(
    "import_line",
    MetaData(),
    Column("number", Integer, primary_key=True),
    Column("email", Text),
    Column("email_key", Ordered),
    Column("name", Text),
    Column("customer_id", Ordered),
    Column("identifier", Ordered),
    Column("device_id", Ordered),
    Column("device_type", Text),
    prefixes=["TEMPORARY"],
)

_OTHER_TYPE = (
    select(_line.c.number)
    .join(device, and_(device.c.identifier == _line.c.identifier, device.c.type != _line.c.device_type))
    .where(device.c.organization_id == text(":organization_id"))
    .order_by(_line.c.number)
)

_CREATE_CUSTOMERS = text("""
INSERT INTO customer
  (organization_id, id, email, email_key, name, created_at, revision, changed_at, device_count)
SELECT :organization_id, customer_id, email, email_key, name, clock_timestamp(), 0, clock_timestamp(), 0
FROM import_line WHERE number IN (SELECT min(number) FROM import_line GROUP BY email_key)
ORDER BY email_key
ON CONFLICT (organization_id, email_key) DO NOTHING
""")

_CREATE_DEVICES = text("""
INSERT INTO device (organization_id, identifier, id, type, created_at)
SELECT :organization_id, identifier, device_id, device_type, clock_timestamp()
FROM import_line WHERE number IN (SELECT min(number) FROM import_line GROUP BY identifier)
ORDER BY identifier
ON CONFLICT (organization_id, identifier) DO NOTHING
""")

# In the order of the ids, as every transaction that locks several customers does.
_LOCK_CUSTOMERS = (
    select(customer.c.id)
    .where(
        customer.c.organization_id == text(":organization_id"),
        customer.c.email_key.in_(select(_line.c.email_key)),
    )
    .order_by(customer.c.id)
    .with_for_update(key_share=True)
)

_ADDRESSES = select(func.count(_line.c.email_key.distinct()))

# CROSS JOIN: SQLite takes the tables in this order then; left to guess, it reads every line for every customer.
_ASSIGN = text("""
INSERT INTO assignment (organization_id, customer_id, device_identifier, assigned_revision)
SELECT DISTINCT c.organization_id, c.id, l.identifier, c.revision + 1
FROM import_line AS l CROSS JOIN customer AS c
WHERE c.organization_id = :organization_id AND c.email_key = l.email_key
ON CONFLICT (organization_id, customer_id, device_identifier) DO NOTHING
""")

_NEW = """
FROM assignment AS a JOIN customer AS c ON c.organization_id = a.organization_id AND c.id = a.customer_id
WHERE a.organization_id = :organization_id AND a.assigned_revision = c.revision + 1
  AND c.email_key IN (SELECT email_key FROM import_line)
"""

_LOG = text(f"""
INSERT INTO assignment_change
  (organization_id, customer_id, revision, device_identifier, change, assigned_revision)
SELECT a.organization_id, a.customer_id, a.assigned_revision, a.device_identifier, 1, a.assigned_revision
{_NEW}""")

_DELTAS = text(f"SELECT a.customer_id, count(*) {_NEW} GROUP BY a.customer_id")

_EXPORT = (
    select(customer.c.email, assignment.c.device_identifier, device.c.type)
    .select_from(assignment)
    .join(
        customer,
        and_(
            customer.c.organization_id == assignment.c.organization_id,
            customer.c.id == assignment.c.customer_id,
        ),
    )
    .join(
        device,
        and_(
            device.c.organization_id == assignment.c.organization_id,
            device.c.identifier == assignment.c.device_identifier,
        ),
    )
    .order_by(customer.c.email_key, assignment.c.device_identifier)
    .execution_options(yield_per=5_000)
)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. Lines that named a pair that was there already, or twice, are the rest."""

    customers_created: int
    devices_created: int
    assigned: int
    operation_id: str


class BadLines(Exception):
    """Lines that the database does not agree with; nothing was applied."""

    def __init__(self, lines: list[BadLine]) -> None:
        self.lines = lines
        super().__init__(f"{len(lines)} bad lines")


def import_lines(
    database: Database, organization_id: str, lines: Sequence[Line], *, skip_bad_lines: bool
) -> tuple[Imported, list[BadLine]]:
    """Applies lines in one transaction, as one operation.

    Returns:
        What was done, and the lines that were left out because the device exists with another type.

    Raises:
        BadLines: there are such, and they are not to be skipped.
    """

    def work(transaction: Transaction) -> tuple[Imported, list[BadLine]]:
        connection = transaction.connection.core
        _stage(connection, lines)
        who = {"organization_id": organization_id}
        numbers = list(connection.execute(_OTHER_TYPE, who).scalars())
        bad = [BadLine(number, "device_type differs from the type that the device has already") for number in numbers]
        if bad and not skip_bad_lines:
            raise BadLines(bad)
        if bad:
            connection.execute(_line.delete().where(_line.c.number == text(":n")), [{"n": n} for n in numbers])
        customers = connection.execute(_CREATE_CUSTOMERS, who).rowcount
        devices = connection.execute(_CREATE_DEVICES, who).rowcount
        # A customer whose address another transaction has changed meanwhile, or a device that it has made of another
        # type: run again, the import finds how that stands then.
        locked = len(connection.execute(_LOCK_CUSTOMERS, who).all())
        if locked < connection.execute(_ADDRESSES).scalar_one() or connection.execute(_OTHER_TYPE, who).first():
            raise Retry
        assigned = connection.execute(_ASSIGN, who).rowcount
        operation_id = new_id("op") if assigned else ""
        if assigned:
            connection.execute(_LOG, who)
            deltas: dict[str, int] = {row[0]: row[1] for row in connection.execute(_DELTAS, who)}
            transaction.operations.record(Operation(operation_id, "import", None, "", deltas, assigned_count=assigned))
        _line.drop(connection)
        return Imported(customers, devices, assigned, operation_id), bad

    try:
        done = database.write(organization_id, Cancellation(), work)
    except OutcomeUnknown as error:
        raise OutcomeUnknown(
            "The database did not confirm that the import is kept; import the file again: what is there already stays"
        ) from error
    # What is served next shall not be planned for the tables as they were. The import is done, whatever becomes of it.
    with suppress(ServiceError):
        statistics.renew(database, committed=True)
    return done


def _stage(connection: Connection, lines: Sequence[Line]) -> None:
    _line.create(connection)
    rows: list[dict[str, Any]] = [
        {
            "number": line.number,
            "email": line.customer.given,
            "email_key": line.customer.key,
            "name": line.customer.local_part,
            "customer_id": new_id("cust"),
            "identifier": line.identifier,
            "device_id": new_id("dev"),
            "device_type": line.device_type,
        }
        for line in lines
    ]
    if rows:
        connection.execute(insert(_line), rows)
    connection.execute(text("ANALYZE import_line"))


def export_lines(database: Database, organization_id: str) -> Iterator[tuple[str, str, str]]:
    """Reads every assignment of an organisation as of one moment: e-mail, identifier, type, by customer and device."""
    with database.session(write=False) as connection:
        statement = _EXPORT.where(assignment.c.organization_id == organization_id)
        for row in connection.execute(statement):
            yield row[0], row[1], row[2]


def is_empty(database: Database) -> bool:
    """Tells whether the database has no organisation yet."""
    with database.session(write=False) as connection:
        return connection.execute(select(func.count()).select_from(text("organization"))).scalar_one() == 0
