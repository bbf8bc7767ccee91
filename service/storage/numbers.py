"""The internal numbers of organisations and customers: what the tables refer to them by.

A number takes 8 bytes in every row and index, and an id 25. Ids are public and numbers are not: they stand in no
answer, token or log.
"""

from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy
from sqlalchemy import bindparam, select

from service.domain.errors import ApiKeyInvalid
from service.storage.connection import Connection
from service.storage.statement import Statement
from service.storage.tables import customer, organization
from service.storage.types import TextArray, among

_KEY = "organization_numbers"

_ORGANIZATION = select(organization.c.number).where(organization.c.id == bindparam("organization_id"))
_ORGANIZATION_STATEMENT = Statement(_ORGANIZATION)
_CUSTOMERS = Statement(
    select(customer.c.id, customer.c.number).where(
        customer.c.organization_number == bindparam("organization_number"),
        among(customer.c.id, bindparam("ids", type_=TextArray)),
    )
)


def organization_number(connection: Connection, organization_id: str) -> int:
    """Returns the number of an organisation, which a connection reads once.

    Raises:
        ApiKeyInvalid: there is no such organisation any more.
    """

    def read() -> list[tuple[Any, ...]]:
        return connection.rows(_ORGANIZATION_STATEMENT, {"organization_id": organization_id})

    return _remembered(connection.info, organization_id, read)


def number_in_session(connection: sqlalchemy.Connection, organization_id: str) -> int:
    """Does the same for a connection of `Database.session`."""

    def read() -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.execute(_ORGANIZATION, {"organization_id": organization_id})]

    return _remembered(connection.info, organization_id, read)


def _remembered(info: dict[Any, Any], organization_id: str, read: Callable[[], list[tuple[Any, ...]]]) -> int:
    """Reads a number once for each connection, because another database may have given it to another organisation."""
    known: dict[str, int] = info.setdefault(_KEY, {})
    number = known.get(organization_id)
    if number is None:
        rows = read()
        if not rows:
            raise ApiKeyInvalid
        number = known[organization_id] = rows[0][0]
    return number


class CustomerNumbers:
    """The numbers of the customers that one transaction has read, by id.

    Args:
        connection: the transaction's connection.
        organization: the number of the organisation.
    """

    def __init__(self, connection: Connection, organization: int) -> None:
        self._connection = connection
        self.organization = organization
        self._known: dict[str, int] = {}

    def add(self, customer_id: str, number: int) -> None:
        """Remembers the number of a customer."""
        self._known[customer_id] = number

    def of(self, customer_id: str) -> int:
        """Returns the number of a customer, or 0, which no customer has, if there is no such customer."""
        return self.of_all((customer_id,))[0]

    def of_all(self, customer_ids: Iterable[str]) -> list[int]:
        """Returns the numbers of customers in their order, with a 0 for each that does not exist."""
        wanted = list(customer_ids)
        # PostgreSQL refuses NUL characters, and no id has one.
        unknown = [customer_id for customer_id in wanted if customer_id not in self._known and "\0" not in customer_id]
        if unknown:
            parameters = {"organization_number": self.organization, "ids": unknown}
            self._known.update(self._connection.rows(_CUSTOMERS, parameters))
        return [self._known.get(customer_id, 0) for customer_id in wanted]
