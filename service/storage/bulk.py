"""Imports and exports the assignments of an organisation."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, text

from service.domain.cancellation import Cancellation
from service.domain.errors import OutcomeUnknown, ServiceError
from service.domain.ids import new_id
from service.domain.import_lines import BadLine, Line
from service.domain.values import Operation
from service.storage import bulk_statements as statements
from service.storage import statistics
from service.storage.database import Database
from service.storage.numbers import number_in_session
from service.storage.tables import assignment
from service.storage.transaction import Retry, Transaction


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. The other lines named assignments that existed already, or named one again."""

    customers_created: int
    devices_created: int
    assigned: int
    operation_id: str


class BadLines(Exception):
    """Lines contradict the database; nothing was imported."""

    def __init__(self, lines: list[BadLine]) -> None:
        self.lines = lines
        super().__init__(f"{len(lines)} bad lines")


def import_lines(
    database: Database, organization_id: str, lines: Sequence[Line], *, skip_bad_lines: bool
) -> tuple[Imported, list[BadLine]]:
    """Imports lines in one transaction, as one operation.

    Returns:
        What was done, and the lines that were skipped because the device exists with another type.

    Raises:
        BadLines: there are such lines, and they are not to be skipped.
    """

    def work(transaction: Transaction) -> tuple[Imported, list[BadLine]]:
        connection = transaction.connection.core
        _stage(connection, lines)
        who = {"organization_number": transaction.numbers.organization}
        numbers = list(connection.execute(statements.OTHER_TYPE, who).scalars())
        bad = [BadLine(number, "device_type differs from the type that the device has already") for number in numbers]
        if bad and not skip_bad_lines:
            raise BadLines(bad)
        if bad:
            connection.execute(
                statements.import_line.delete().where(statements.import_line.c.number == text(":n")),
                [{"n": n} for n in numbers],
            )
        customers = database.backend.create_imported_customers(connection, transaction.numbers.organization)
        devices = connection.execute(statements.CREATE_DEVICES, who).rowcount
        # Another transaction has changed the address of a customer meanwhile, or added a device of another type. Run
        # again, the import reads the new state.
        locked = len(connection.execute(statements.LOCK_CUSTOMERS, who).all())
        if (
            locked < connection.execute(statements.ADDRESSES).scalar_one()
            or connection.execute(statements.OTHER_TYPE, who).first()
        ):
            raise Retry
        assigned = connection.execute(statements.ASSIGN, who).rowcount
        operation_id = new_id("op") if assigned else ""
        if assigned:
            deltas: dict[str, int] = {}
            for customer_id, number, count in connection.execute(statements.DELTAS, who):
                transaction.numbers.add(customer_id, number)
                deltas[customer_id] = count
            transaction.operations.record(Operation(operation_id, "import", None, "", deltas, assigned_count=assigned))
        statements.import_line.drop(connection)
        return Imported(customers, devices, assigned, operation_id), bad

    try:
        done = database.write(organization_id, Cancellation(), work)
    except OutcomeUnknown as error:
        raise OutcomeUnknown(
            "The database did not confirm that the import is kept; import the file again: what is there already stays"
        ) from error
    # So that the next statements are planned for the tables as they are now. If it fails, the import is done anyway.
    with suppress(ServiceError):
        statistics.renew(database, committed=True)
    return done


def _stage(connection: Connection, lines: Sequence[Line]) -> None:
    statements.import_line.create(connection)
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
        connection.execute(insert(statements.import_line), rows)
    connection.execute(text("ANALYZE import_line"))


def export_lines(database: Database, organization_id: str) -> Iterator[tuple[str, str, str]]:
    """Reads e-mail, identifier and type of every assignment of an organisation, in one transaction, in their order."""
    with database.session(write=False) as connection:
        number = number_in_session(connection, organization_id)
        statement = statements.EXPORT.where(assignment.c.organization_number == number)
        for row in connection.execute(statement):
            yield row[0], row[1], row[2]


def is_empty(database: Database) -> bool:
    """Returns whether the database has no organisation."""
    with database.session(write=False) as connection:
        return connection.execute(select(func.count()).select_from(text("organization"))).scalar_one() == 0
