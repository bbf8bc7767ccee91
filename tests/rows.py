"""The stored rows of an organisation, with the ids of its customers in place of their numbers."""

from typing import Any

from sqlalchemy import Connection, Row, Select, Subquery, Table, and_, literal, select, union_all

from service.domain.values import Change
from service.storage import tables
from service.storage.tables import assignment, customer, organization, past_assignment

NAMES = ("customer", "device", "operation", "customer_revision", "assignment_change", "assignment", "reply")
"""What `rows` can list. `assignment_change` is no table: it is what each revision began and ended."""


def _by_ids(table: Any, *columns: Any) -> Select[Any]:
    """Selects columns of rows that have the number of a customer, and the customer's id."""
    of_customer = and_(
        customer.c.organization_number == table.c.organization_number, customer.c.number == table.c.customer_number
    )
    return select(table.c.organization_number, customer.c.id.label("customer_id"), *columns).join_from(
        table, customer, of_customer
    )


def changes() -> Subquery:
    """What each revision began and ended, one row for each."""
    return union_all(
        *(
            _by_ids(
                table,
                revision.label("revision"),
                table.c.device_identifier,
                literal(change.value).label("change"),
                table.c.assigned_revision,
            )
            for table, revision, change in (
                (assignment, assignment.c.assigned_revision, Change.ASSIGNED),
                (past_assignment, past_assignment.c.assigned_revision, Change.ASSIGNED),
                (past_assignment, past_assignment.c.unassigned_revision, Change.UNASSIGNED),
            )
        )
    ).subquery()


def _source(name: str) -> Any:
    if name == "assignment_change":
        return changes()
    table: Table = getattr(tables, name)
    if "customer_number" not in table.c:
        return table
    return _by_ids(table, *(c for c in table.c if c.name not in {"organization_number", "customer_number"})).subquery()


def rows(connection: Connection, organization_id: str, name: str, *order: str) -> list[Row[Any]]:
    """Lists an organisation's rows of a table, without numbers.

    Args:
        connection: a connection to the database.
        organization_id: the organisation.
        name: one of `NAMES`.
        order: the columns that the rows are ordered by.
    """
    source = _source(name)
    columns = [column for column in source.c if column.name not in {"organization_number", "number"}]
    statement = (
        select(*columns)
        .join_from(source, organization, organization.c.number == source.c.organization_number)
        .where(organization.c.id == organization_id)
        .order_by(*(source.c[column] for column in order))
    )
    return list(connection.execute(statement))
