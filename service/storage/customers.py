"""Customers in SQL."""

from typing import Any

from sqlalchemy import Connection, Select, bindparam, select

from service.domain.email import Email
from service.domain.unit_of_work import Customer
from service.storage.tables import customer

_CUSTOMER = select(customer.c.id, customer.c.email, customer.c.revision, customer.c.device_count).where(
    customer.c.organization_id == bindparam("organization_id")
)
_BY_EMAIL = _CUSTOMER.where(customer.c.email_key == bindparam("email_key"))
_BY_ID = _CUSTOMER.where(customer.c.id == bindparam("customer_id"))
# On PostgreSQL `FOR NO KEY UPDATE`: it keeps other writers of the customer out, and lets foreign keys refer to the row.
# It must stay a statement of its own: what reads in the same statement reads from before the wait for the lock.
# (SQLite has locked the whole database by then.)
_LOCK = _BY_EMAIL.with_for_update(key_share=True)


class Customers:
    """See `domain.unit_of_work.Customers`."""

    def __init__(self, connection: Connection, organization_id: str) -> None:
        self._connection = connection
        self._organization_id = organization_id

    def lock(self, email: Email) -> Customer | None:
        """Finds a customer and holds their assignments still until the transaction ends."""
        return self._one(_LOCK, email_key=email.key)

    def find(self, *, email: Email | None = None, customer_id: str | None = None) -> Customer | None:
        """Finds a customer by the one or the other, without holding anything."""
        if email is not None:
            return self._one(_BY_EMAIL, email_key=email.key)
        # Ids are not checked for syntax, but PostgreSQL takes no NUL character; no id has one.
        if customer_id is None or "\0" in customer_id:
            return None
        return self._one(_BY_ID, customer_id=customer_id)

    def _one(self, statement: Select[Any], **parameters: str) -> Customer | None:
        row = self._connection.execute(
            statement, {"organization_id": self._organization_id, **parameters}
        ).one_or_none()
        return None if row is None else Customer(row.id, row.email, row.revision, row.device_count)
